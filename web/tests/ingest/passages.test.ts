import type { Chunk } from '@/api/chunks'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import ChunksPanel from '@/chunks/ChunksPanel.vue'
import { useToast } from '@/composables/useToast'
import { loadArea } from '@/i18n'
import { ok, plugins, refuse, serve, signIn } from '../support'

const chunk = { chunk_id: 7, position: 0, text: 'Ten days of leave', anchor: { page: 3, heading: 'Leave > Annual' }, enabled: true, origin: 'file', question: null, parent: null, original: null } satisfies Chunk
const sheet = { props: ['title'], template: '<div class="sheet"><slot name="left" /><slot /><slot name="foot" /></div>' }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'ingest', 'source'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { AppSheet: sheet, RouterLink: { template: '<a><slot /></a>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('passages are paged, searched, and told with their place and what became of them', async () => {
  const chunks = [chunk, { ...chunk, chunk_id: 8, position: 1, enabled: false, origin: 'edited', question: 'How long?', parent: 'All of the page', original: 'As it was' }]
  const calls = serve({ 'GET /knowledge_base/chunks': (_, path) => ok({ items: path.includes('query=') ? [] : chunks, total: path.includes('query=') ? 0 : 120, page_size: 50 }) })
  const wrapper = await show(ChunksPanel, { base: 'hr', file: 'a.pdf', isLocked: false })
  const cards = wrapper.findAll('.chunk')
  expect(cards[0]!.get('.head').text()).toContain('page 3 · Leave › Annual')
  expect(cards[1]!.text()).toMatch(/edited\s*off, not searched/)
  expect(cards[1]!.text()).toContain('Question: How long?')
  expect(cards[1]!.findAll('details').map(one => one.text())).toEqual(['The longer passage around it (15 characters)All of the page', 'What the file saysAs it was'])
  await wrapper.get('[aria-label="Next page"]').trigger('click')
  await wrapper.get('.pages input').setValue('99')
  await flushPromises()
  expect(calls.slice(-2).map(path => /&page=(\d+)/.exec(path)?.[1])).toEqual(['2', '3'])
  vi.useFakeTimers()
  await wrapper.get('[type=search]').setValue('leave')
  await vi.advanceTimersByTimeAsync(500)
  vi.useRealTimers()
  expect(calls.at(-1)).toContain('query=leave&page=1')
  expect(wrapper.text()).toContain('No such passage')
  wrapper.unmount()
})

it('a passage is edited, turned off, added to and deleted; while its file is read, the refusal is told', async () => {
  const bodies: [string, object][] = []
  const keep = (name: string) => (body: object) => {
    bodies.push([name, body])
    return ok({ ...chunk, ...body, chunk_id: 9, origin: 'edited' })
  }
  let isBusy = true
  serve({
    'GET /knowledge_base/chunks': () => ok({ items: [chunk], total: 1, page_size: 50 }),
    'POST /knowledge_base/update_chunk': body => isBusy ? refuse(409, 'The file is being read') : keep('update')(body),
    'POST /knowledge_base/add_chunk': keep('add'),
    'POST /knowledge_base/delete_chunk': keep('delete'),
  })
  const wrapper = await show(ChunksPanel, { base: 'hr', file: 'a.pdf', isLocked: false })
  await wrapper.get('[aria-label="Edit passage 1"]').trigger('click')
  await wrapper.get('#chunk textarea').setValue('Twelve days')
  await wrapper.get('#chunk').trigger('submit')
  await flushPromises()
  expect(wrapper.get('#chunk [role=alert]').text()).toBe('The file is being read')
  isBusy = false
  await wrapper.get('#chunk').trigger('submit')
  await flushPromises()
  expect(wrapper.get('.chunk').text()).toContain('Twelve days')
  // Under its new id.
  await wrapper.get('.turn').trigger('click')
  await flushPromises()
  await wrapper.get('[aria-label="Add a passage after 1"]').trigger('click')
  await wrapper.get('#chunk textarea').setValue('And more')
  await wrapper.get('#chunk input').setValue('What else?')
  await wrapper.get('#chunk').trigger('submit')
  await flushPromises()
  await wrapper.get('[aria-label="Delete passage 1"]').trigger('click')
  await wrapper.get('.button.danger').trigger('click')
  await flushPromises()
  const base = { knowledge_base_name: 'hr' }
  expect(bodies).toEqual([
    ['update', { ...base, chunk_id: 7, text: 'Twelve days' }],
    ['update', { ...base, chunk_id: 9, enabled: false }],
    ['add', { ...base, file_name: 'a.pdf', text: 'And more', question: 'What else?', after_chunk_id: 9 }],
    ['delete', { ...base, chunk_id: 7 }],
  ])
  expect(useToast().toast.value?.text).toBe('Deleted')
  await wrapper.setProps({ isLocked: true } as object)
  expect(wrapper.findAll('.acts button').every(button => button.attributes('disabled') !== undefined)).toBe(true)
})
