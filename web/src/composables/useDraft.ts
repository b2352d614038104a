import { onScopeDispose, ref, watch } from 'vue'
import { draftKey, tidyDrafts } from '@/storage/drafts'
import { useSessionStore } from '@/stores/session'

/** A text that outlives the page: an expired login, an app that is closed, a phone that is out of power. Only its writer sees it, and it goes when they sign out. */
export function useDraft(place: string) {
  const session = useSessionStore()
  const key = draftKey(session.owner, place)
  const text = ref(localStorage.getItem(key) ?? '')
  const stop = watch(text, (words) => {
    if (!words)
      return localStorage.removeItem(key)
    tidyDrafts()
    localStorage.setItem(key, words)
  }, { flush: 'sync' })
  onScopeDispose(stop)
  return text
}
