import type { Doc } from '@/manage/useDocuments'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import { loadArea } from '@/i18n'
import DocumentRow from '@/manage/DocumentRow.vue'
import DocumentsPanel from '@/manage/DocumentsPanel.vue'
import { ok, plugins, serve, signIn } from '../support'

const NOTES = ['Scanned and not read: page 3.', 'Attachments that are not read: 2.']
const item = { document_id: 'd', file_name: 'scan.docx', state: 'ready', size: 10, chunks: 2, percent: 0, create_time: '2026-01-01T00:00:00Z', tags: [], properties: {}, visible_to: null, warnings: NOTES, findings: { unread_pages: [3] } } as unknown as Doc
const stubs = { AppSheet: { template: '<div class="sheet"><slot /></div>' }, RouterLink: { template: '<a><slot /></a>' } }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'source', 'ingest'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('a document says how much was noted when it was read, and nothing where nothing was', async () => {
  const row = await show(DocumentRow, { item })
  expect(row.get('.noted').text()).toBe('2 notes')
  await row.setProps({ item: { ...item, warnings: [], edits: { kept: 0, lost: 2, lost_texts: ['Ten days', 'And more'] } } } as object)
  expect(row.get('.noted').attributes('title')).toBe('2 changes to passages did not outlast the last reading: Ten days / And more')
  await row.setProps({ item: { ...item, warnings: [] } } as object)
  expect(row.find('.noted').exists()).toBe(false)
})

it('its sheet says what', async () => {
  serve({
    'GET /knowledge_base/documents': () => ok({ items: [item, { ...item, document_id: 'e', file_name: 'a.docx', warnings: [] }], total: 2 }),
    'GET /knowledge_base/passages': () => ok({ items: [], total: 0, page: 1, page_size: 100 }),
  })
  const panel = await show(DocumentsPanel, { base: 'hr' })
  for (const [index, notes] of [NOTES, []].entries()) {
    await panel.findAll('.open')[index]!.trigger('click')
    await vi.dynamicImportSettled()
    await flushPromises()
    expect(panel.findAll('.sheet .notes li').map(note => note.text())).toEqual(notes)
  }
})
