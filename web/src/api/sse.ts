import { createParser } from 'eventsource-parser'
import { request } from './client'
import { isAborted, NetworkError } from './errors'

/** A heartbeat comes every 15 s: longer silence means that the connection is dead, which phones do not tell. */
const SILENCE = 40_000
/** A page that was hidden this long has lost its connection, whatever the system says. */
const HIDDEN = 3_000

export interface Frame { event: string, data: unknown, id: string | undefined }

export interface Reading {
  path: string
  headers?: Record<string, string>
  signal: AbortSignal
  onOpen: () => void
  /** Returns whether this was the last one. */
  onFrame: (frame: Frame) => boolean
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

/** One connection of server-sent events, to its end. Returns whether the last one came; raises what ended the connection. */
export async function readFrames({ path, headers = {}, signal, onOpen, onFrame }: Reading): Promise<boolean> {
  const own = new AbortController()
  const cancel = () => own.abort()
  signal.addEventListener('abort', cancel)
  const watched = watch(cancel)
  let ended = false
  const parser = createParser({
    onEvent: (frame) => {
      if (!ended)
        ended = onFrame({ event: frame.event ?? '', data: JSON.parse(frame.data) as unknown, id: frame.id })
    },
  })
  try {
    const response = await request(path, { headers: { Accept: 'text/event-stream', ...headers }, signal: own.signal })
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
    signal.removeEventListener('abort', cancel)
    own.abort()
  }
}
