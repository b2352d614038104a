import type { Doc } from '@/manage/useDocuments'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import { loadArea } from '@/i18n'
import DocumentRow from '@/manage/DocumentRow.vue'
import DocumentsPanel from '@/manage/DocumentsPanel.vue'
import { filtersOf, noFilters } from '@/manage/filters'
import { fieldsOf, labelsOf, newProperty, noLabels, saidOf } from '@/manage/labels'
import LabelSheet from '@/manage/LabelSheet.vue'
import TestPanel from '@/manage/TestPanel.vue'
import UploadZone from '@/manage/UploadZone.vue'
import { ok, plugins, refuse, serve, signIn } from '../support'
import { catchUploads } from '../uploads'

const item = { document_id: 'd', file_name: 'pay.md', state: 'ready', size: 10, chunks: 2, percent: 0, create_time: '2026-01-01T00:00:00Z', tags: ['HR'], properties: { grade: 3, from: '2024-03-01', draft: false, owner: 'Li' }, visible_to: ['u7'], warnings: [] } as unknown as Doc
const sheet = { template: '<div class="sheet"><slot /><slot name="foot" /></div>' }

async function show(component: object, props: object, stubs: object = { AppSheet: sheet }) {
  const given = await plugins()
  await Promise.all(['manage', 'search', 'source'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { RouterLink: { template: '<a><slot /></a>' }, ...stubs } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('what is said of a document comes back as it was given', () => {
  expect(labelsOf(item).properties.map(one => [one.name, one.kind, one.value])).toEqual([['grade', 'number', '3'], ['from', 'date', '2024-03-01'], ['draft', 'bool', 'false'], ['owner', 'text', 'Li']])
  expect(saidOf(labelsOf(item))).toEqual({ tags: ['HR'], properties: { grade: 3, from: '2024-03-01', draft: false, owner: 'Li' }, visible_to: ['u7'] })
})

it('an upload says what was written, and nothing of the rest', () => {
  expect(fieldsOf(noLabels())).toEqual([])
  const labels = { tags: ['a'], properties: [{ ...newProperty(), name: ' n ', kind: 'number' as const, value: '1.5' }, newProperty()], visibleTo: [] }
  expect(fieldsOf(labels)).toEqual([['tags', '["a"]'], ['properties', '{"n":1.5}'], ['visible_to', '[]']])
})

it('what a hit test asks of documents', () => {
  const property = { name: 'grade', kind: 'number' as const, value: '2', high: '' }
  expect(filtersOf(noFilters())).toBeUndefined()
  const filters = filtersOf({ type: '.pdf', tags: ['HR'], since: '2026-01-05', until: '', property })
  expect(filters).toEqual({ types: ['pdf'], tags: ['HR'], since: new Date(2026, 0, 5).toISOString(), properties: { grade: { min: 2 } } })
  expect(filtersOf({ ...noFilters(), property: { ...property, kind: 'bool', value: 'true' } })).toEqual({ properties: { grade: true } })
  expect(filtersOf({ ...noFilters(), property: { ...property, value: '' } })).toBeUndefined()
})

it('a document shows its tags, its properties and who sees it', async () => {
  const row = await show(DocumentRow, { item })
  expect(row.findAll('.labels li').map(chip => chip.text())).toEqual(['1 person sees it', 'HR', 'grade: 3', 'from: 2024-03-01', 'draft: No', 'owner: Li'])
  await row.setProps({ item: { ...item, tags: [], properties: {}, visible_to: [] } } as object)
  expect(row.findAll('.labels li').map(chip => chip.text())).toEqual(['editors only'])
  await row.setProps({ item: { ...item, tags: [], properties: {}, visible_to: null } } as object)
  expect(row.find('.labels').exists()).toBe(false)
})

it('what is said of a document is changed, and refusals are told', async () => {
  const bodies: unknown[] = []
  serve({ 'POST /knowledge_base/update_document': (body) => {
    bodies.push(body)
    return bodies.length > 1 ? ok({}) : refuse(422, 'No such user id')
  } })
  const wrapper = await show(LabelSheet, { base: 'hr', item })
  await wrapper.get('[aria-label="Take HR out"]').trigger('click')
  const [tags] = wrapper.findAll('.words input')
  await tags!.setValue('pay, 2024')
  await tags!.trigger('keydown', { key: 'Enter' })
  await wrapper.findAll('.line select')[0]!.setValue('date')
  expect(wrapper.text()).toContain('A line without a name or a value is not kept')
  await wrapper.findAll('.line [type=date]')[0]!.setValue('2025-01-01')
  expect(wrapper.text()).not.toContain('is not kept')
  await wrapper.findAll('[type=radio]')[0]!.setValue()
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(wrapper.get('[role=alert]').text()).toContain('No such user id')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(bodies[1]).toEqual({ knowledge_base_name: 'hr', file_name: 'pay.md', tags: ['pay', '2024'], properties: { grade: '2025-01-01', from: '2024-03-01', draft: false, owner: 'Li' }, visible_to: null })
  expect(wrapper.emitted('changed')).toHaveLength(1)
})

it('a whole upload is labelled', async () => {
  serve({ 'GET /knowledge_base/documents': () => ok({ items: [item], total: 1 }) })
  const sent = catchUploads()
  const wrapper = await show(DocumentsPanel, { base: 'hr' })
  await vi.waitFor(() => expect(wrapper.find('.fold .words input').exists()).toBe(true), 10_000)
  await wrapper.get('.fold .words input').setValue('HR')
  const picked = wrapper.findComponent(UploadZone)
  picked.vm.$emit('files', [new File(['x'], 'a.md'), new File(['x'], 'b.md')])
  expect(sent.map(one => one.form.get('tags'))).toEqual(['["HR"]', '["HR"]'])
  expect(sent[0]!.form.has('visible_to')).toBe(false)
})

it('a hit test looks in some files only', async () => {
  const bodies: Record<string, unknown>[] = []
  serve({
    'GET /knowledge_base/documents': () => ok({ items: [item], total: 1 }),
    'GET /h5/switches.json': () => Response.json({ demo: false, file_types: ['.md', '.pdf'] }),
    'POST /knowledge_base/explain': (body) => {
      bodies.push(body)
      return ok({ query: 'q', question: 'q', hits: [], candidates: [], trace: {}, expected: null })
    },
  })
  const wrapper = await show(TestPanel, { base: 'hr' })
  expect(wrapper.findAll('.filters datalist option').map(option => option.attributes('value') ?? '')).toEqual(['HR', 'grade', 'from', 'draft', 'owner'])
  await wrapper.get('input').setValue('pay')
  await wrapper.get('.filters select').setValue('.pdf')
  await wrapper.get('.filters .words input').setValue('HR')
  expect(wrapper.text()).toContain('Look in some files only (2 conditions)')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(bodies[0]!.filters).toEqual({ types: ['pdf'], tags: ['HR'] })
  await wrapper.findAll('button').find(button => button.text() === 'Look everywhere')!.trigger('click')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(bodies[1]).not.toHaveProperty('filters')
})
