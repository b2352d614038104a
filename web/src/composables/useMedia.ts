import type { Ref } from 'vue'
import { onScopeDispose, ref } from 'vue'

/** Be told when it turns; old web views know only the old way. */
export function onTurn(list: MediaQueryList, turned: () => void): () => void {
  if (!('addEventListener' in list)) {
    (list as MediaQueryList).addListener(turned)
    return () => (list as MediaQueryList).removeListener(turned)
  }
  list.addEventListener('change', turned)
  return () => list.removeEventListener('change', turned)
}

/** Whether a media query holds now. */
export function useMedia(query: string): Ref<boolean> {
  const list = window.matchMedia(query)
  const matches = ref(list.matches)
  onScopeDispose(onTurn(list, () => { matches.value = list.matches }))
  return matches
}

/** Room for a column beside the chat. */
export const useWide = () => useMedia('(min-width: 1000px)')

/** A mouse and a keyboard: Enter sends. */
export const useDesktop = () => useMedia('(hover: hover) and (pointer: fine)')
