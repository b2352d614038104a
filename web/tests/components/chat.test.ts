import type { ChatMessage } from '@/composables/chatMessage'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import AppComposer from '@/components/AppComposer.vue'
import ChatAnnouncer from '@/components/ChatAnnouncer.vue'
import MarkdownText from '@/components/MarkdownText.vue'
import MessageItem from '@/components/MessageItem.vue'
import { fromRow } from '@/composables/chatMessage'
import { useDraft } from '@/composables/useDraft'
import { plugins, signIn, within } from '../support'

const ROW = { id: 'm', query: 'How many days?', response: 'Fifteen [1].', docs: [], create_time: '', state: 'done', error_code: null, feedback_score: null, sources: [{ number: 1, text: 'p', file_name: 'rules.pdf', place: 'page 3' }] }
const message = (more: Partial<ChatMessage> = {}): ChatMessage => ({ ...fromRow(ROW), ...more })
const media = (matches: boolean) => vi.stubGlobal('matchMedia', () => Object.assign(new EventTarget(), { matches }))

async function show(given: ChatMessage) {
  const wrapper = mount(MessageItem, { props: { message: given, isLast: true }, global: { plugins: [...await plugins()] } })
  await vi.dynamicImportSettled()
  await flushPromises()
  return wrapper
}

beforeEach(() => {
  signIn()
  media(true)
})

describe('a message', () => {
  it('names the passage that a citation, or a line of the sources, leads to', async () => {
    const wrapper = await show(message())
    await wrapper.get('[data-cite]').trigger('click')
    await wrapper.get('.toggle').trigger('click')
    expect(wrapper.get('.source').text()).toContain('page 3')
    await wrapper.get('.source').trigger('click')
    expect(wrapper.emitted('openSource')).toEqual([[1], [1]])
  })

  it('says what is being done', async () => {
    const wrapper = await show(message({ state: 'writing', text: '', stage: { name: 'reading', count: 3 } }))
    expect(wrapper.text()).toContain('Reading 3 passages')
    await wrapper.setProps({ message: message({ state: 'queued', text: '', isLost: true }) })
    expect(wrapper.text()).toContain('No connection')
  })

  it('says that it is not in the knowledge base, and has the closest passages at hand', async () => {
    const wrapper = await show(message({ outcome: 'not_found' }))
    expect(wrapper.get('.note').text()).toContain('Not in this knowledge base')
    expect(wrapper.find('.source').exists()).toBe(false)
    expect(wrapper.get('.toggle').text()).toBe('The closest passage')
    await wrapper.get('.toggle').trigger('click')
    await wrapper.get('.source').trigger('click')
    expect(wrapper.emitted('openSource')).toEqual([[1]])
  })

  it('says it once where the answer says it, too', async () => {
    const wrapper = await show(message({ outcome: 'not_found', text: '知识库里没有找到能直接回答这个问题的内容；列出的资料最接近，供参考。' }))
    expect(wrapper.get('.note').text()).toBe('Try other words, or another knowledge base.')
  })

  it('offers another try where it failed', async () => {
    const wrapper = await show(message({ state: 'failed', text: '', problem: 'The model is asleep' }))
    expect(wrapper.text()).toContain('The model is asleep')
    await wrapper.get('.retry').trigger('click')
    expect(wrapper.emitted('regenerate')).toHaveLength(1)
  })
})

describe('the composer', () => {
  async function write(text: string) {
    return mount(AppComposer, { props: { modelValue: text, placeholder: 'Ask' }, global: { plugins: [...await plugins()] } })
  }

  it('sends by Enter where there is a keyboard, never while a word is composed or with Shift', async () => {
    const wrapper = await write(' Hi ')
    const area = wrapper.get('textarea')
    await area.trigger('keydown', { key: 'Enter', shiftKey: true })
    await area.trigger('keydown', { key: 'Enter', isComposing: true })
    expect(wrapper.emitted('send')).toBeUndefined()
    await area.trigger('keydown', { key: 'Enter' })
    expect(wrapper.emitted('send')).toEqual([['Hi']])
  })

  it('makes a new line of Enter on a phone', async () => {
    media(false)
    const wrapper = await write('Hi')
    await wrapper.get('textarea').trigger('keydown', { key: 'Enter' })
    expect(wrapper.emitted('send')).toBeUndefined()
  })

  it('stops while an answer is on its way', async () => {
    const wrapper = await write('Hi')
    await wrapper.setProps({ busy: true })
    await wrapper.get('textarea').trigger('keydown', { key: 'Enter' })
    expect(wrapper.emitted('send')).toBeUndefined()
    await wrapper.get('.stop').trigger('click')
    expect(wrapper.emitted('stop')).toHaveLength(1)
  })

  it('keeps a draft for its writer', async () => {
    const first = await within(() => useDraft('s1'))
    first.result.value = 'half a question'
    first.app.unmount()
    expect((await within(() => useDraft('s1'))).result.value).toBe('half a question')
    expect((await within(() => useDraft('s2'))).result.value).toBe('')
    signIn('u2')
    expect((await within(() => useDraft('s1'))).result.value).toBe('')
  })
})

it('screen readers hear what is done, and the answer once', async () => {
  const wrapper = mount(ChatAnnouncer, { props: { current: null, ended: null }, global: { plugins: [...await plugins()] } })
  await wrapper.setProps({ current: message({ state: 'writing', stage: { name: 'searching', count: 0 } }) })
  expect(wrapper.get('[aria-live=polite]').text()).toBe('Searching')
  await wrapper.setProps({ current: null, ended: message() })
  expect(wrapper.text()).toBe('Answer complete: Fifteen.')
  await wrapper.setProps({ ended: message({ outcome: 'partly' }) })
  expect(wrapper.text()).toBe('Answer complete; not everything in it is borne out by its sources: Fifteen.')
  await wrapper.setProps({ ended: message({ text: 'It is $a+b$:\n\n$$\nd = \\lfloor x \\rfloor\n$$\n\n```python\nprint(1)\n```\n\n```mermaid\ngraph LR\n```\n\nThat costs $5 or $6.' }) })
  expect(wrapper.text()).toBe('Answer complete: It is (formula) : (formula) (code) Diagram That costs 5 or 6.')
})

it('an unchanged block is not drawn again while the text grows', async () => {
  const wrapper = mount(MarkdownText, { props: { text: 'one\n\ntwo', isWhole: false }, global: { plugins: [...await plugins()] } })
  const first = wrapper.get('p').element
  await wrapper.setProps({ text: 'one\n\ntwo\n\nthree' })
  expect(wrapper.findAll('p')).toHaveLength(3)
  expect(wrapper.get('p').element).toBe(first)
})
