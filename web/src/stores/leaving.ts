import { ref } from 'vue'
import { call } from '@/api/client'
import { useToast } from '@/composables/useToast'

/** How long a deletion may be taken back. The server is told after that, or when the page goes away. */
const PATIENCE = 5000

/** Conversations that are about to be deleted: gone from the lists, and not yet from the server. */
export function useLeaving(onGone: (sessionId: string) => void) {
  const { offer } = useToast()
  const ids = ref(new Set<string>())
  const timers = new Map<string, ReturnType<typeof setTimeout>>()

  function keep(id: string): void {
    clearTimeout(timers.get(id))
    timers.delete(id)
    ids.value = new Set([...ids.value].filter(other => other !== id))
  }

  async function send(id: string, keepalive = false): Promise<void> {
    clearTimeout(timers.get(id))
    timers.delete(id)
    await call('/session/delete', { method: 'POST', body: { session_id: id }, keepalive })
    onGone(id)
  }

  function remove(id: string, words: string, undo: string, onProblem: (error: unknown) => void): void {
    ids.value = new Set([...ids.value, id])
    timers.set(id, setTimeout(() => {
      send(id).catch((error: unknown) => {
        keep(id)
        onProblem(error)
      })
    }, PATIENCE))
    offer(words, undo, () => keep(id), PATIENCE)
  }

  // Phones end pages without a word: hidden is the last that one hears of some.
  const leave = () => timers.forEach((_, id) => void send(id, true).catch(() => {}))
  window.addEventListener('pagehide', leave)
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && leave())

  return { isLeaving: (id: string) => ids.value.has(id), remove }
}
