import type { ChatMessage } from '@/composables/chatMessage'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it } from 'vitest'
import { fromRow } from '@/composables/chatMessage'
import { loadArea } from '@/i18n'
import SourceSheet from '@/source/SourceSheet.vue'
import { ok, plugins, refuse, serve, signIn } from '../support'

const SOURCES = [
  { number: 1, text: 'Fifteen days of leave.', file_name: 'rules.docx', kb_name: 'hr', anchor: { page: 3, page_end: 4, heading: 'Leave > Days' } },
  { number: 2, text: 'From the web.', title: 'News', url: 'https://news.example/a' },
]
const message: ChatMessage = fromRow({ id: 'm', query: 'q', response: 'r [1]', docs: [], create_time: '', state: 'done', error_code: null, feedback_score: null, sources: SOURCES })
const today = { ...SOURCES[0], quote: [[0, 12]], before: 'Before it.', after: null, media_type: null, is_gone: false }

async function show() {
  await plugins()
  await loadArea('source')
  const wrapper = mount(SourceSheet, { props: { message, sessionId: 's', number: 1 }, global: { plugins: [...await plugins()], stubs: { AppSheet: { template: '<div><slot /><slot name="foot" /></div>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('shows the passage of today with what was quoted, its place and its neighbours', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => ok(today) })
  const wrapper = await show()
  expect(wrapper.get('mark').text()).toBe('Fifteen days')
  expect(wrapper.get('.parts').text()).toContain('Page 3–4')
  expect(wrapper.get('.path').text()).toContain('Days')
  await wrapper.get('.more').trigger('click')
  expect(wrapper.get('.neighbour').text()).toBe('Before it.')
})

it('says at what time of a recording it is said', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => ok({ ...today, file_name: 'talk.srt', anchor: { time: '00:01:04–00:02:00' } }) })
  const wrapper = await show()
  expect(wrapper.findAll('.parts li').map(part => part.text())).toContain('00:01:04–00:02:00')
})

it('goes on to the next one, which may be a page of the web', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => ok(today) })
  const wrapper = await show()
  await wrapper.setProps({ number: 2 })
  await flushPromises()
  const link = wrapper.get('a.button')
  expect(link.attributes()).toMatchObject({ href: 'https://news.example/a', rel: 'noopener noreferrer nofollow' })
})

it('says that a passage is gone, and offers no file then', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => ok({ ...today, is_gone: true, quote: [] }) })
  const wrapper = await show()
  expect(wrapper.get('.gone').text()).toContain('changed or deleted')
  expect(wrapper.find('button.primary').exists()).toBe(false)
})

it('says which sentence it does not bear out, and why', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => ok(today) })
  const wrapper = await show()
  expect(wrapper.find('.doubts').exists()).toBe(false)
  const check = { start: 0, end: 5, numbers: [1], verified: false }
  await wrapper.setProps({ message: { ...message, text: 'r **x** [1]', checks: [{ ...check, end: 11, reason: 'number' }, { ...check, numbers: [2], reason: 'name' }] } })
  expect(wrapper.get('.doubts').text()).toBe('A number in this sentence is not in the passage: r x')
  await wrapper.setProps({ message: { ...message, checks: [{ ...check, reason: 'language' }] } })
  expect(wrapper.get('.doubts .neutral').text()).toContain('another language')
})

it('keeps what was shown when the server cannot be asked', async () => {
  serve({ 'GET /chat/answers/m/sources/1': () => refuse(503, 'Later') })
  const wrapper = await show()
  expect(wrapper.get('.passage').text()).toBe('Fifteen days of leave.')
  expect(wrapper.get('[role=alert]').text()).toContain('Later')
})
