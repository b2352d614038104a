import type { Ref } from 'vue'
import type { useChat } from './useChat'
import type { useChatActions } from './useChatActions'
import type { useChatOptions } from './useChatOptions'
import { computed, ref } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { beginChat, isFresh } from '@/storage/fresh'

const ID = /^[0-9a-z]{32}$/i

interface Parts {
  options: ReturnType<typeof useChatOptions>
  chat: ReturnType<typeof useChat>
  actions: ReturnType<typeof useChatActions>
  draft: Ref<string>
}

/** How a conversation is come to: with a question from elsewhere, anew, once more; or there is none of this id. */
export function useOpening(sessionId: string, { options, chat, actions, draft }: Parts) {
  const route = useRoute()
  const router = useRouter()
  const isUnknown = ref(!ID.test(sessionId))
  const isLooking = ref(false)
  const isEmpty = computed(() => chat.isLoaded.value && !isLooking.value && !isUnknown.value && chat.messages.value.length === 0)

  /** What the home page, or a link from elsewhere, wants to be asked; it leaves the address, so that a reload does not ask again. */
  async function takeOrder(): Promise<string> {
    const { knowledgeName, query } = route.query
    if (typeof knowledgeName === 'string')
      options.choose(knowledgeName)
    if (typeof knowledgeName === 'string' || typeof query === 'string')
      beginChat(sessionId)
    if (Object.keys(route.query).length)
      await router.replace({ name: 'chat', params: { sessionId } })
    return typeof query === 'string' && !isUnknown.value ? query.slice(0, 2000) : ''
  }

  async function load(): Promise<void> {
    if (isUnknown.value)
      return
    isLooking.value = !isFresh(sessionId)
    try {
      const [isKnown] = await Promise.all([options.load().catch(() => true), actions.load()])
      const isNew = !chat.messages.value.length && isFresh(sessionId)
      if (isKnown || isNew)
        return
      const isOld = await options.load(true).catch(() => true)
      isUnknown.value = !isOld && chat.isLoaded.value && !chat.messages.value.length && !draft.value
    }
    finally {
      isLooking.value = false
    }
  }

  return { isUnknown, isEmpty, takeOrder, load }
}
