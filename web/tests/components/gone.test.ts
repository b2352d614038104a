import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import { i18n, setLanguage } from '@/i18n'
import ChatPage from '@/pages/ChatPage.vue'
import { makeRouter } from '@/router'
import { beginChat } from '@/storage/fresh'
import { ok, serve, signIn } from '../support'

const ID = 'a'.repeat(32)

async function open() {
  await setLanguage('en')
  history.replaceState(null, '', '/h5/')
  const router = makeRouter()
  await router.push({ name: 'chat', params: { sessionId: ID } })
  const wrapper = mount(ChatPage, { props: { sessionId: ID }, global: { plugins: [i18n, router] } })
  await flushPromises()
  await flushPromises()
  return wrapper
}

beforeEach(() => {
  signIn()
  serve({ 'GET /session/list': () => ok([]), 'POST /history/latest': () => ok([]), 'GET /knowledge_base': () => ok([]), 'GET /recommend': () => ok([]) })
})

it('says that there is no such conversation, and takes no question for it', async () => {
  const wrapper = await open()
  await vi.waitFor(() => expect(wrapper.text()).toContain('No such conversation'))
  expect(wrapper.find('.composer').exists()).toBe(false)
})

it('begins one that was made here', async () => {
  beginChat(ID)
  const wrapper = await open()
  await vi.waitFor(() => expect(wrapper.text()).toContain('Ask away'))
  expect(wrapper.text()).not.toContain('No such conversation')
  expect(wrapper.find('.composer').exists()).toBe(true)
})
