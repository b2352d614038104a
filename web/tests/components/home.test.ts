import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { i18n, setLanguage } from '@/i18n'
import HomePage from '@/pages/HomePage.vue'
import { ok, serve, signIn } from '../support'

const base = (name: string) => ({ kb_name: name, kb_zh_name: name.toUpperCase(), kb_info: '', file_count: 1 })
const question = (query: string, kb: string | null) => ({ id: 1, query, kb_name: kb, answer: null, tap_count: 0, enable: true, create_time: '' })

async function open() {
  await setLanguage('en')
  const page = { template: '<i />' }
  const routes = [['/', 'home'], ['/chat/:sessionId', 'chat'], ['/sessions', 'sessions']].map(([path, name]) => ({ path: path!, name: name!, component: page }))
  const router = createRouter({ history: createMemoryHistory(), routes })
  const wrapper = mount(HomePage, { global: { plugins: [i18n, router] } })
  await flushPromises()
  return { wrapper, router }
}

beforeEach(() => {
  signIn()
  serve({
    'GET /knowledge_base/list_knowledge_bases_v2': () => ok([base('hr'), base('money')]),
    'GET /recommend/question': () => ok([question('Where to sleep?', 'money'), question('Who are you?', null)]),
    'GET /session/list': () => ok([]),
  })
})

it('asks a recommended question in the knowledge base it is about', async () => {
  const { wrapper, router } = await open()
  const [first, second] = wrapper.findAll('.questions .question')
  expect(first!.text()).toContain('MONEY')
  await first!.trigger('click')
  await flushPromises()
  expect(router.currentRoute.value.query).toEqual({ knowledgeName: 'money', query: 'Where to sleep?' })
  await second!.trigger('click')
  await flushPromises()
  expect(router.currentRoute.value.query).toEqual({ knowledgeName: 'hr', query: 'Who are you?' })
})
