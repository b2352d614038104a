import type { Ref } from 'vue'
import type { ChatMessage } from './chatMessage'
import type { useChat } from './useChat'
import { ref } from 'vue'
import { useI18n } from 'vue-i18n'
import { ApiError } from '@/api/errors'
import { useCopy } from './useCopy'
import { useErrorText } from './useErrorText'
import { useToast } from './useToast'

/** What the buttons of a conversation do; what goes wrong is told in a toast. */
export function useChatActions(chat: ReturnType<typeof useChat>, draft: Ref<string>) {
  const { t } = useI18n()
  const { say, complain } = useToast()
  const textOf = useErrorText()
  const copyText = useCopy()
  /** The answer that is about to get a reason. */
  const disliked = ref<ChatMessage | null>(null)

  // An expired login has its own sheet.
  async function attempt(work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => (error instanceof ApiError && error.status === 401) || complain(textOf(error)))
  }

  const loadProblem = ref('')
  async function load(): Promise<void> {
    loadProblem.value = ''
    await chat.load().catch((error: unknown) => { loadProblem.value = textOf(error) })
  }

  async function stop(): Promise<void> {
    if (!chat.current.value)
      return
    await attempt(chat.stop(chat.current.value).then((question) => {
      if (question && !draft.value)
        draft.value = question
    }))
  }

  const rate = (message: ChatMessage, score: number, reason = '') => attempt(chat.rate(message, score, reason).then(() => say(t('chat.thanks'))))

  function dislike(message: ChatMessage): void {
    disliked.value = message
    // Told at once; the reason may come after it, or not.
    void attempt(chat.rate(message, 0))
  }

  function explain(reason: string): void {
    if (disliked.value)
      void rate(disliked.value, 0, reason)
  }

  return {
    disliked,
    stop,
    explain,
    dislike,
    like: (message: ChatMessage) => rate(message, 100),
    copy: (message: ChatMessage) => copyText(message.text.replace(/[ \t]*\[\d{1,2}\]/g, ''), t('common.copied')),
    regenerate: (message: ChatMessage) => attempt(chat.regenerate(message)),
    complete: (message: ChatMessage) => chat.complete(message).catch(() => {}),
    edit: (message: ChatMessage) => { draft.value = message.query },
    ask: (question: string) => attempt(chat.ask(question)),
    load,
    loadProblem,
    loadOlder: () => attempt(chat.loadOlder()),
  }
}
