import type { AnswerEvent } from './events'
import { createParser } from 'eventsource-parser'
import { eventsPath } from './answers'
import { backoff, pause } from './backoff'
import { request } from './client'
import { ApiError, isAborted, NetworkError } from './errors'
import { isAnswerEvent, isLast } from './events'
import { Position } from './position'

/** A heartbeat comes every 15 s: longer silence means that the connection is dead, which phones do not tell. */
const SILENCE = 40_000
/** A page that was hidden this long has lost its connection, whatever the system says. */
const HIDDEN = 3_000

export interface Following {
  messageId: string
  /** Characters (code points) that are there already. */
  after: number
  signal: AbortSignal
  onEvent: (event: AnswerEvent) => void
  /** True while there is no connection and another one is being tried. */
  onLost?: (lost: boolean) => void
}

/** Tells when a connection is to be given up: after silence, and when the page is seen again after a while. */
function watch(giveUp: () => void): { alive: () => void, end: () => void } {
  let hiddenAt = document.visibilityState === 'hidden' ? Date.now() : 0
  let timer = setTimeout(giveUp, SILENCE)
  const alive = () => {
    clearTimeout(timer)
    timer = setTimeout(giveUp, SILENCE)
  }
  const turned = () => {
    if (document.visibilityState === 'hidden')
      hiddenAt = Date.now()
    else if (hiddenAt && Date.now() - hiddenAt > HIDDEN)
      giveUp()
  }
  document.addEventListener('visibilitychange', turned)
  window.addEventListener('offline', giveUp)
  const end = () => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', turned)
    window.removeEventListener('offline', giveUp)
  }
  return { alive, end }
}

// Browsers have different words for a cut connection ("Load failed", "network error"); all of them mean one thing.
function lost(error: unknown): never {
  throw isAborted(error) ? error : new NetworkError(error)
}

/** One connection, to its end. Returns whether the answer ended; raises what ended the connection. */
async function connect(following: Following, position: Position, onOpen: () => void): Promise<boolean> {
  const own = new AbortController()
  const cancel = () => own.abort()
  following.signal.addEventListener('abort', cancel)
  const watched = watch(cancel)
  let ended = false
  const parser = createParser({
    onEvent: (frame) => {
      const event = { event: frame.event ?? '', data: JSON.parse(frame.data) as unknown }
      const taken = isAnswerEvent(event) ? position.take(event, frame.id) : null
      if (!taken || ended)
        return
      ended = isLast(taken)
      following.onEvent(taken)
    },
  })
  try {
    const headers: Record<string, string> = { Accept: 'text/event-stream' }
    if (position.id)
      headers['Last-Event-ID'] = position.id
    const response = await request(eventsPath(following.messageId), { headers, signal: own.signal })
    onOpen()
    const reader = response.body!.getReader()
    const decoder = new TextDecoder()
    while (!ended) {
      const { done, value } = await reader.read().catch(lost)
      if (done)
        break
      watched.alive()
      parser.feed(decoder.decode(value, { stream: true }))
    }
    return ended
  }
  finally {
    watched.end()
    following.signal.removeEventListener('abort', cancel)
    own.abort()
  }
}

/** Follow an answer to its end, over as many connections as it takes. Raises ApiError when the server refuses for good, and the abort. */
export async function follow(following: Following): Promise<void> {
  const position = new Position(following.after)
  for (let attempt = 0; ; attempt++) {
    const before = position.at
    let wait: number | null = null
    try {
      if (await connect(following, position, () => following.onLost?.(false)))
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

function isWorthAnother(error: unknown): boolean {
  return error instanceof NetworkError || isAborted(error) || (error instanceof ApiError && error.isPassing)
}
