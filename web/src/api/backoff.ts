/** Milliseconds before try number `attempt` (from 0): exponential with full jitter, so that many pages do not come back at once. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(15_000, 500 * 2 ** attempt)
}

/** Wait; ends early when something says that a try is worth it now: the network is back, the page is seen again. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted)
      return reject(new DOMException('aborted', 'AbortError'))
    const done = (then: () => void) => () => {
      clearTimeout(timer)
      window.removeEventListener('online', early)
      document.removeEventListener('visibilitychange', seen)
      signal.removeEventListener('abort', cancel)
      then()
    }
    const early = done(resolve)
    const cancel = done(() => reject(new DOMException('aborted', 'AbortError')))
    const seen = () => document.visibilityState === 'visible' && early()
    const timer = setTimeout(early, milliseconds)
    window.addEventListener('online', early)
    document.addEventListener('visibilitychange', seen)
    signal.addEventListener('abort', cancel)
  })
}
