import { onScopeDispose } from 'vue'

/** Once, a little later, however often it is asked for: many small files are read within a second. */
export function useSoon(work: () => Promise<unknown>, milliseconds = 600) {
  let timer: ReturnType<typeof setTimeout> | undefined
  onScopeDispose(() => clearTimeout(timer))
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined
      void work().catch(() => {})
    }, milliseconds)
  }
}
