import { onScopeDispose, ref, watch } from 'vue'
import { useSessionStore } from '@/stores/session'

// Drafts of old conversations do not pile up.
const MOST = 30
const PREFIX = 'draft:'

function tidy(): void {
  const keys = Object.keys(localStorage).filter(key => key.startsWith(PREFIX))
  keys.slice(0, Math.max(0, keys.length - MOST)).forEach(key => localStorage.removeItem(key))
}

/** A text that outlives the page: an expired login, an app that is closed, a phone that is out of power. Only its writer sees it. */
export function useDraft(place: string) {
  const session = useSessionStore()
  const key = `${PREFIX}${session.owner}:${place}`
  const text = ref(localStorage.getItem(key) ?? '')
  const stop = watch(text, (words) => {
    if (!words)
      return localStorage.removeItem(key)
    tidy()
    localStorage.setItem(key, words)
  }, { flush: 'sync' })
  onScopeDispose(stop)
  return text
}
