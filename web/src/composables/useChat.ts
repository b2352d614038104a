import type { ChatMessage, HistoryRow } from './chatMessage'
import type { Question } from '@/api/answers'
import { computed, onScopeDispose, ref } from 'vue'
import { useI18n } from 'vue-i18n'
import { ask as askServer, read, stop as stopServer } from '@/api/answers'
import { call } from '@/api/client'
import { newId } from '@/ids'
import { isFresh } from '@/storage/fresh'
import { useWritingStore } from '@/stores/writing'
import { fromLetter, fromRow, isBusy } from './chatMessage'
import { useErrorText } from './useErrorText'
import { useFollower } from './useFollower'
import { useOutbox } from './useOutbox'

const PAGE = 10

/** One conversation: what was said, what is being said, and what waits to be sent. Nothing here knows of the DOM. */
export function useChat(sessionId: string, how: () => Omit<Question, 'message_id' | 'query' | 'session_id'>) {
  const outbox = useOutbox()
  const { t } = useI18n()
  const textOf = useErrorText()
  const messages = ref<ChatMessage[]>([])
  const hasOlder = ref(false)
  const isLoading = ref(false)
  /** What was said before is known. */
  const isLoaded = ref(false)
  /** Announced to screen readers, and of interest to whoever scrolls: an answer came to its end. */
  const lastEnded = ref<ChatMessage | null>(null)
  const follower = useFollower((message) => { lastEnded.value = message })
  const current = computed(() => messages.value.find(isBusy) ?? null)
  const find = (id: string) => messages.value.find(message => message.id === id)

  async function rows(before?: string): Promise<ChatMessage[]> {
    const body = { session_id: sessionId, num: PAGE, ...(before ? { chat_id: before } : {}) }
    const latest = await call<HistoryRow[]>('/history/latest', { method: 'POST', body })
    hasOlder.value = latest.length === PAGE
    return latest.map(fromRow).reverse()
  }

  async function load(): Promise<void> {
    isLoading.value = true
    try {
      const letters = (await outbox.waiting(sessionId)).map(fromLetter)
      messages.value = letters
      const stored = await rows()
      // A letter that was asked meanwhile is in both; one that was written meanwhile only here.
      const known = new Set(stored.map(message => message.id))
      messages.value = [...stored, ...messages.value.filter(message => !known.has(message.id))]
      messages.value.filter(message => message.state === 'writing').forEach(follower.join)
      isLoaded.value = true
    }
    finally {
      isLoading.value = false
    }
    void outbox.flush()
  }

  async function loadOlder(): Promise<void> {
    if (isLoading.value || !hasOlder.value)
      return
    isLoading.value = true
    try {
      messages.value = [...await rows(messages.value[0]?.id), ...messages.value]
    }
    finally {
      isLoading.value = false
    }
  }

  async function ask(query: string): Promise<void> {
    const question = { message_id: newId(), session_id: sessionId, session_is_new: isFresh(sessionId), query, ...how() }
    messages.value.push(fromLetter({ message_id: question.message_id, owner: '', question, written_at: Date.now() }))
    await outbox.post(question)
  }

  const takenBack = new Set<string>()
  const unlisten = outbox.listen((delivery) => {
    // It was on its way when it was taken back.
    if (delivery.kind === 'accepted' && takenBack.delete(delivery.messageId))
      void stopServer(delivery.messageId).catch(() => {})
    const message = find(delivery.messageId)
    if (message?.state !== 'queued')
      return
    const waitsFor = delivery.kind === 'waiting' ? delivery.on : ''
    message.isLost = waitsFor === 'network'
    message.hold = waitsFor === 'network' ? '' : waitsFor
    if (delivery.kind === 'waiting' && delivery.on === 'server')
      message.problem = textOf(delivery.error)
    if (delivery.kind === 'accepted') {
      message.isStored = true
      follower.join(message)
    }
    else if (delivery.kind === 'refused') {
      message.state = 'failed'
      message.problem = delivery.error.code === 'session_not_found' ? t('chat.goneLate') : textOf(delivery.error)
    }
  })
  onScopeDispose(unlisten)

  // What goes on when its reader leaves is still told of elsewhere.
  const writing = useWritingStore()
  writing.forget(sessionId)
  onScopeDispose(() => current.value?.state === 'writing' && writing.watchOver(sessionId, current.value.id))

  /** Stop what is being written, or take back what was not sent; returns the question then. */
  async function stop(message: ChatMessage): Promise<string> {
    if (message.state !== 'queued') {
      await stopServer(message.id)
      return ''
    }
    takenBack.add(message.id)
    await outbox.cancel(message.id)
    messages.value = messages.value.filter(other => other.id !== message.id)
    return message.query
  }

  /** Answer the same question again, in place. One that never got there is sent once more under its own id. */
  async function regenerate(message: ChatMessage): Promise<void> {
    const before = { ...message }
    Object.assign(message, { hold: '', text: '', state: 'queued', problem: '', outcome: null, checks: [], nearest: [], sources: [], followUps: [], score: null, stage: null })
    const question = { message_id: message.id, session_id: sessionId, session_is_new: isFresh(sessionId), query: message.query, ...how() }
    if (!message.isStored)
      return outbox.post(question)
    try {
      await askServer({ ...question, regenerate: true })
      follower.join(message)
    }
    catch (error) {
      Object.assign(message, before)
      throw error
    }
  }

  async function rate(message: ChatMessage, score: number, reason = ''): Promise<void> {
    await call('/chat/feedback', { method: 'POST', body: { chat_history_id: message.id, score, reason } })
    message.score = score
  }

  /** An older answer's passages and suggestions. */
  async function complete(message: ChatMessage): Promise<void> {
    message.hasMore = false
    const answer = await read(message.id)
    Object.assign(message, { sources: answer.sources, outcome: answer.outcome, checks: answer.checks, nearest: answer.nearest, followUps: answer.follow_ups })
  }

  return { messages, hasOlder, isLoading, isLoaded, current, lastEnded, load, loadOlder, ask, stop, regenerate, rate, complete }
}
