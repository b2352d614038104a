import type { Accepted, Question } from '@/api/answers'
import type { Letter } from '@/storage/outbox'
import { ask } from '@/api/answers'
import { backoff } from '@/api/backoff'
import { ApiError, NetworkError } from '@/api/errors'
import { dropLetter, lettersOf, putLetter } from '@/storage/outbox'
import { useSessionStore } from '@/stores/session'

export type Delivery = { messageId: string } & (
  | { kind: 'accepted', state: Accepted['state'] }
  | { kind: 'refused', error: ApiError }
  | { kind: 'waiting' }
)

/** A server that is down for long is told to the reader, who may try again. */
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

/** Try to send one. Returns false when the rest must wait, too. */
async function deliver({ message_id: messageId, question }: Letter): Promise<boolean> {
  try {
    const { state } = await ask(question)
    await dropLetter(messageId)
    attempt = 0
    tell({ messageId, kind: 'accepted', state })
    return true
  }
  catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      tell({ messageId, kind: 'waiting' })
      return false
    }
    const count = (tries.get(messageId) ?? 0) + 1
    tries.set(messageId, count)
    if (error instanceof ApiError && (!error.isPassing || count >= PATIENCE)) {
      tries.delete(messageId)
      await dropLetter(messageId)
      tell({ messageId, kind: 'refused', error })
      return true
    }
    if (!(error instanceof ApiError) && !(error instanceof NetworkError))
      throw error
    tell({ messageId, kind: 'waiting' })
    later(error instanceof ApiError ? error.retryAfter : null)
    return false
  }
}

async function run(): Promise<void> {
  const session = useSessionStore()
  const { owner } = session
  for (const letter of owner ? await lettersOf(owner) : []) {
    // Somebody else may have come meanwhile; it is sent with the token of whoever is here.
    if (session.owner !== owner || !await deliver(letter))
      return
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
