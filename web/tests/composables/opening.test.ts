import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createApp } from 'vue'
import { useChat } from '@/composables/useChat'
import { useChatActions } from '@/composables/useChatActions'
import { useChatOptions } from '@/composables/useChatOptions'
import { useDraft } from '@/composables/useDraft'
import { useOpening } from '@/composables/useOpening'
import { beginChat, isFresh } from '@/storage/fresh'
import { useSessionsStore } from '@/stores/sessions'
import { useWritingStore } from '@/stores/writing'
import { ok, plugins, serve, signIn, within } from '../support'

const ID = 'a'.repeat(32)
const SESSION = { session_id: ID, session_name: 'Leave', mode: 'LLM', param: '{}', create_time: '' }

beforeEach(() => signIn())
afterEach(() => vi.useRealTimers())

/** Open the conversation of this id as the page does, at this address. */
async function open(id: string, found: object[] = [], address = '/') {
  serve({ 'GET /session/list': () => ok(found), 'POST /history/latest': () => ok([]), 'POST /session/save': () => ok(true) })
  const [i18n, router] = await plugins()
  router.addRoute({ path: '/chat/:sessionId', name: 'chat', component: { template: '<i />' } })
  await router.push(address)
  let result: ReturnType<typeof useOpening> | undefined
  const app = createApp({
    setup() {
      const options = useChatOptions(id)
      const chat = useChat(id, () => ({ mode: 'llm_chat' }))
      const draft = useDraft(id)
      result = useOpening(id, { options, chat, draft, actions: useChatActions(chat, draft) })
      return () => null
    },
  }).use(i18n).use(router)
  app.mount(document.createElement('div'))
  await result!.takeOrder()
  await result!.load()
  await flushPromises()
  return result!
}

describe('a conversation', () => {
  it('that nobody knows, or that has no proper id, is told so', async () => {
    expect((await open(ID)).isUnknown.value).toBe(true)
    expect((await open('zzzz')).isUnknown.value).toBe(true)
  })

  it('that is there, that was begun here, or that a link begins, is opened', async () => {
    expect((await open(ID, [SESSION])).isUnknown.value).toBe(false)
    const mine = beginChat()
    const { isUnknown, isEmpty } = await open(mine)
    expect([isUnknown.value, isEmpty.value]).toEqual([false, true])
    expect((await open('b'.repeat(32), [], `/chat/${'b'.repeat(32)}?knowledgeName=hr`)).isUnknown.value).toBe(false)
    await useSessionsStore().save({ ...SESSION, session_id: mine })
    expect(isFresh(mine)).toBe(false)
  })

  it('with words that were not sent is its writer\'s', async () => {
    const { result, app } = await within(() => useDraft(ID))
    result.value = 'half a question'
    app.unmount()
    expect((await open(ID)).isUnknown.value).toBe(false)
  })
})

it('an answer that goes on without its reader is told of until it is there', async () => {
  vi.useFakeTimers()
  const states = ['writing', 'done']
  serve({ 'GET /chat/answers/m': () => ok({ state: states.shift() }) })
  const writing = useWritingStore()
  writing.watchOver('s', 'm')
  await vi.advanceTimersByTimeAsync(800)
  expect(writing.running.has('s')).toBe(true)
  await vi.advanceTimersByTimeAsync(5000)
  expect(writing.running.has('s')).toBe(false)
  expect(states).toEqual([])
})
