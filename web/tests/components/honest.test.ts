import type { ChatMessage } from '@/composables/chatMessage'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import MessageItem from '@/components/MessageItem.vue'
import { fromRow } from '@/composables/chatMessage'
import { plugins, signIn } from '../support'

const ROW = { id: 'm', query: 'How many days?', response: 'Fifteen [1].', docs: [], create_time: '', state: 'done', error_code: null, feedback_score: null, sources: [{ number: 1, text: 'p', file_name: 'rules.pdf', place: 'page 3' }] }
const message = (more: Partial<ChatMessage> = {}): ChatMessage => ({ ...fromRow(ROW), ...more })

async function show(given: ChatMessage) {
  const wrapper = mount(MessageItem, { props: { message: given, isLast: true }, global: { plugins: [...await plugins()] } })
  await vi.dynamicImportSettled()
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

describe('an answer', () => {
  it('tells where to look when there is no source, either', async () => {
    const wrapper = await show(message({ outcome: 'not_found', sources: [], nearest: [{ file_name: 'rules.pdf', place: 'rules.pdf page 3' }] }))
    expect(wrapper.get('.nearest').text()).toContain('Closest places')
    expect(wrapper.get('.nearest li').text()).toBe('rules.pdfpage 3')
  })

  it('names the knowledge base of each source where there are several', async () => {
    const source = { number: 1, text: 'p', file_name: 'rules.pdf', place: 'rules.pdf page 3', kb_name: 'hr' }
    const wrapper = await show(message({ outcome: 'answered', sources: [source, { ...source, number: 2, kb_name: 'it' }] }))
    await wrapper.get('.sources .toggle').trigger('click')
    expect(wrapper.findAll('.sources .place').map(place => place.text())).toEqual(['hr · page 3', 'it · page 3'])
    await wrapper.setProps({ message: message({ outcome: 'answered', sources: [source] }) })
    expect(wrapper.get('.sources .place').text()).toBe('page 3')
  })

  it('says that not everything is borne out, and which citation is not', async () => {
    const check = { start: 0, end: 12, numbers: [1], verified: false, reason: 'number' as const }
    const wrapper = await show(message({ outcome: 'partly', checks: [check] }))
    expect(wrapper.get('.note').text()).toContain('those with a “?”')
    expect(wrapper.get('.cite.doubtful').attributes('aria-label')).toBe('Source 1, not verified')
    await wrapper.setProps({ message: message({ outcome: 'partly', checks: [{ ...check, verified: true, reason: null }] }) })
    expect(wrapper.get('.note').text()).toContain('please check')
    expect(wrapper.get('.cite').attributes('aria-label')).toBe('Source 1')
    await wrapper.setProps({ message: message({ outcome: 'answered' }) })
    expect(wrapper.find('.note').exists()).toBe(false)
  })

  it('judges nothing while it is being written', async () => {
    const wrapper = await show(message({ state: 'writing', checks: [{ start: 0, end: 12, numbers: [1], verified: false, reason: 'number' }] }))
    expect(wrapper.find('.doubtful').exists()).toBe(false)
  })
})
