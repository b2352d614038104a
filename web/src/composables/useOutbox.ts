import type { Accepted, Question } from '@/api/answers'
import type { Letter } from '@/storage/outbox'
import { ask } from '@/api/answers'
import { backoff } from '@/api/backoff'
import { ApiError, NetworkError } from '@/api/errors'
import { settle } from '@/storage/fresh'
import { dropLetter, lettersOf, putLetter } from '@/storage/outbox'
import { useSessionStore } from '@/stores/session'

export type Delivery = { messageId: string } & (
  | { kind: 'accepted', state: Accepted['state'] }
  | { kind: 'refused', error: ApiError }
  /** For the network; for the login, which has ended; for a server that did not take it so far. */
  | { kind: 'waiting', on: 'network' | 'login' }
  | { kind: 'waiting', on: 'server', error: ApiError }
)

/** Tries after which the reader is told that it is not sent; it is tried on, but the others need not wait for it. */
const PATIENCE = 4

const listeners = new Set<(delivery: Delivery) => void>()
const tries = new Map<string, number>()
let running: Promise<void> | null = null
let again = false
let timer: ReturnType<typeof setTimeout> | undefined
let attempt = 0

function tell(delivery: Delivery): void {
  listeners.forEach(listener => listener(delivery))
}

function later(seconds?: number | null): void {
  clearTimeout(timer)
  timer = setTimeout(() => void flush(), seconds ? seconds * 1000 : Math.max(300, backoff(attempt++)))
}

/** Try to send one. Returns whether it is on its way or settled, must wait, or all must wait. */
async function deliver({ message_id: messageId, question }: Letter): Promise<'settled' | 'late' | 'stop'> {
  try {
    const { state } = await ask(question)
    await dropLetter(messageId)
    settle(question.session_id)
    attempt = 0
    tries.delete(messageId)
    tell({ messageId, kind: 'accepted', state })
    return 'settled'
  }
  catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      tell({ messageId, kind: 'waiting', on: 'login' })
      return 'stop'
    }
    if (error instanceof ApiError && !error.isPassing) {
      tries.delete(messageId)
      await dropLetter(messageId)
      tell({ messageId, kind: 'refused', error })
      return 'settled'
    }
    if (!(error instanceof ApiError) && !(error instanceof NetworkError))
      throw error
    later(error instanceof ApiError ? error.retryAfter : null)
    if (error instanceof NetworkError) {
      tell({ messageId, kind: 'waiting', on: 'network' })
      return 'stop'
    }
    const count = (tries.get(messageId) ?? 0) + 1
    tries.set(messageId, count)
    if (count < PATIENCE)
      return 'stop'
    tell({ messageId, kind: 'waiting', on: 'server', error })
    return 'late'
  }
}

async function run(): Promise<void> {
  const session = useSessionStore()
  const { owner } = session
  // What comes after a late one in its conversation comes after it.
  const late = new Set<string>()
  for (const letter of owner ? await lettersOf(owner) : []) {
    const place = letter.question.session_id
    if (late.has(place))
      continue
    // Somebody else may have come meanwhile; it is sent with the token of whoever is here.
    const outcome = session.owner === owner ? await deliver(letter) : 'stop'
    if (outcome === 'stop')
      return
    if (outcome === 'late')
      late.add(place)
  }
}

/** Send what waits, one after the other; a call while one is under way makes it look again. */
async function flush(): Promise<void> {
  clearTimeout(timer)
  again = true
  running ??= (async () => {
    while (again) {
      again = false
      await run()
    }
  })().finally(() => { running = null })
  return running
}

async function post(question: Question): Promise<void> {
  const session = useSessionStore()
  await session.whenReady().catch(() => {})
  await putLetter({ message_id: question.message_id, owner: session.owner, question, written_at: Date.now() })
  await flush()
}

/** Letters go off when they are written, when the network is back, and when the page is seen again. */
function start(): () => void {
  const seen = () => document.visibilityState === 'visible' && void flush()
  const online = () => void flush()
  window.addEventListener('online', online)
  document.addEventListener('visibilitychange', seen)
  void flush()
  return () => {
    window.removeEventListener('online', online)
    document.removeEventListener('visibilitychange', seen)
    clearTimeout(timer)
  }
}

function listen(listener: (delivery: Delivery) => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The one outbox of this page. */
export function useOutbox() {
  const waiting = async (sessionId: string) => {
    const letters = await lettersOf(useSessionStore().owner)
    return letters.filter(letter => letter.question.session_id === sessionId)
  }
  return { post, flush, start, listen, waiting, cancel: dropLetter }
}
