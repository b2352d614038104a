import type { Ref } from 'vue'
import { onScopeDispose, ref } from 'vue'

/** Whether a media query holds now. */
export function useMedia(query: string): Ref<boolean> {
  const list = window.matchMedia(query)
  const matches = ref(list.matches)
  const turned = () => { matches.value = list.matches }
  list.addEventListener('change', turned)
  onScopeDispose(() => list.removeEventListener('change', turned))
  return matches
}

/** Room for a column beside the chat. */
export const useWide = () => useMedia('(min-width: 1000px)')

/** A mouse and a keyboard: Enter sends. */
export const useDesktop = () => useMedia('(hover: hover) and (pointer: fine)')
