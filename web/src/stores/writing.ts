import { defineStore } from 'pinia'
import { ref } from 'vue'
import { read } from '@/api/answers'
import { ApiError } from '@/api/errors'
import { usePolling } from '@/composables/usePolling'

/** Conversations whose answer goes on although nobody looks at them. */
export const useWritingStore = defineStore('writing', () => {
  /** The answer that is being written, by its conversation. */
  const running = ref(new Map<string, string>())

  async function look(): Promise<void> {
    for (const [sessionId, messageId] of [...running.value]) {
      const state = await read(messageId).then(answer => answer.state, (error: unknown) => error instanceof ApiError && !error.isPassing ? 'failed' : 'writing')
      if (state !== 'writing' && running.value.get(sessionId) === messageId)
        running.value.delete(sessionId)
    }
  }

  const polling = usePolling(look, () => running.value.size > 0)

  /** Its reader leaves it. */
  function watchOver(sessionId: string, messageId: string): void {
    running.value.set(sessionId, messageId)
    polling.wake()
  }

  /** Its reader is back. */
  const forget = (sessionId: string) => void running.value.delete(sessionId)

  return { running, watchOver, forget }
})
