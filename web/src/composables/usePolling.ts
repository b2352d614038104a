import { onScopeDispose } from 'vue'

const FIRST = 700
const LONGEST = 5000

/** Look again and again while there is something to wait for, ever less often, and not while the page is hidden. */
export function usePolling(look: () => Promise<void>, isWanted: () => boolean) {
  let timer: ReturnType<typeof setTimeout> | undefined
  let wait = FIRST
  let isOver = false

  function later(): void {
    clearTimeout(timer)
    if (!isOver && isWanted() && document.visibilityState === 'visible')
      timer = setTimeout(() => void look().catch(() => {}).then(later), wait)
    wait = Math.min(wait * 1.4, LONGEST)
  }

  /** There is something new to wait for. */
  function wake(): void {
    wait = FIRST
    later()
  }

  const seen = () => document.visibilityState === 'visible' && wake()
  document.addEventListener('visibilitychange', seen)
  onScopeDispose(() => {
    isOver = true
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', seen)
  })

  return { wake }
}
