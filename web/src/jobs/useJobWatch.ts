import type { Job } from '@/api/jobs'
import { onScopeDispose } from 'vue'
import { backoff, pause } from '@/api/backoff'
import { jobEvents } from '@/api/jobs'
import { readFrames } from '@/api/sse'
import { isWorthAnother } from '@/api/stream'
import { usePolling } from '@/composables/usePolling'

interface Watched {
  onJob: (job: Job) => void
  /** It was deleted with its file. */
  onGone: (id: string) => void
  /** Bring everything up to date: what happened while nobody listened. */
  look: () => Promise<void>
  /** There is something to wait for. */
  isWanted: () => boolean
}

/** Hear of every job of a knowledge base that changes while there is one to wait for: as the server tells, or else by asking again and again. */
export function useJobWatch(base: string, { onJob, onGone, look, isWanted }: Watched) {
  let listening: AbortController | null = null
  let isHeard = false
  const polling = usePolling(look, () => isWanted() && !isHeard)

  async function connect(signal: AbortSignal): Promise<boolean> {
    try {
      await readFrames({
        path: jobEvents(base),
        signal,
        onOpen: () => {
          isHeard = true
          void look().catch(() => {})
        },
        onFrame: ({ event, data }) => {
          if (event === 'job')
            onJob(data as Job)
          else if (event === 'gone')
            onGone((data as Pick<Job, 'job_id'>).job_id)
          return false
        },
      })
      return true
    }
    catch (error) {
      return isWorthAnother(error)
    }
  }

  async function listen(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const isWorth = await connect(signal)
      if (signal.aborted)
        return
      if (isHeard)
        attempt = 0
      isHeard = false
      polling.wake()
      // A server that does not tell is asked.
      if (!isWorth)
        return
      await pause(backoff(attempt + 1), signal)
    }
  }

  /** There is something to wait for, or nothing any more. */
  function turn(): void {
    if (!isWanted())
      return stop()
    if (listening)
      return isHeard ? undefined : polling.wake()
    listening = new AbortController()
    void listen(listening.signal).catch(() => {})
    polling.wake()
  }

  function stop(): void {
    listening?.abort()
    listening = null
    isHeard = false
  }

  onScopeDispose(stop)
  return { turn }
}
