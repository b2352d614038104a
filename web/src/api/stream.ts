import type { AnswerEvent } from './events'
import { eventsPath } from './answers'
import { backoff, pause } from './backoff'
import { ApiError, isAborted, NetworkError } from './errors'
import { isAnswerEvent, isLast } from './events'
import { Position } from './position'
import { readFrames } from './sse'

export interface Following {
  messageId: string
  /** Characters (code points) that are there already. */
  after: number
  signal: AbortSignal
  onEvent: (event: AnswerEvent) => void
  /** True while there is no connection and another one is being tried. */
  onLost?: (lost: boolean) => void
}

/** One connection, to its end. Returns whether the answer ended; raises what ended the connection. */
function connect(following: Following, position: Position): Promise<boolean> {
  return readFrames({
    path: eventsPath(following.messageId),
    headers: position.id ? { 'Last-Event-ID': position.id } : {},
    signal: following.signal,
    onOpen: () => following.onLost?.(false),
    onFrame: ({ event, data, id }) => {
      const named = { event, data }
      const taken = isAnswerEvent(named) ? position.take(named, id) : null
      if (!taken)
        return false
      following.onEvent(taken)
      return isLast(taken)
    },
  })
}

/** Follow an answer to its end, over as many connections as it takes. Raises ApiError when the server refuses for good, and the abort. */
export async function follow(following: Following): Promise<void> {
  const position = new Position(following.after)
  for (let attempt = 0; ; attempt++) {
    const before = position.at
    let wait: number | null = null
    try {
      if (await connect(following, position))
        return
    }
    catch (error) {
      if (following.signal.aborted || !isWorthAnother(error))
        throw error
      if (error instanceof ApiError && error.retryAfter !== null)
        wait = error.retryAfter * 1000
    }
    following.onLost?.(true)
    if (position.at > before)
      attempt = 0
    await pause(wait ?? backoff(attempt), following.signal)
  }
}

/** It is the connection's or the server's passing state that is at fault. */
export function isWorthAnother(error: unknown): boolean {
  return error instanceof NetworkError || isAborted(error) || (error instanceof ApiError && error.isPassing)
}
