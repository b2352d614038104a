import type { Version } from '@/api/versions'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import FilePage from '@/chunks/FilePage.vue'
import { loadArea } from '@/i18n'
import ExportPart from '@/packages/ExportPart.vue'
import ImportSheet from '@/packages/ImportSheet.vue'
import { saveStream } from '@/packages/saveStream'
import { ok, plugins, refuse, serve, signIn } from '../support'
import { catchUploads } from '../uploads'

const now = { document_id: 'b', current: true, state: 'ready', size: 2000, chunks: 4, chars: 90, create_time: '2026-02-02T10:00:00Z', ready_time: null, archive_time: null, sha256: '', chunking: { chunk_method: 'recursive', chunk_size: 250, chunk_overlap: 50, zh_title_enhance: false, parent_size: null }, custom_docs: false, can_restore: false } satisfies Version
const old = { ...now, document_id: 'a', current: false, state: 'archived', create_time: '2026-01-01T10:00:00Z', can_restore: true }
const sheet = { props: ['title'], template: '<div class="sheet"><slot /><slot name="foot" /></div>' }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'ingest', 'source'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { AppSheet: sheet, RouterLink: { template: '<a><slot /></a>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('versions of a file are compared, had back and restored', async () => {
  const restored: unknown[] = []
  const calls = serve({
    'GET /knowledge_base/list_knowledge_bases_v2': () => ok([]),
    'GET /knowledge_base/versions': () => ok([now, old]),
    'GET /knowledge_base/compare_versions': () => ok({ unchanged: 3, added: [{ text: 'Twelve days', anchor: { page: 2 } }], removed: [{ text: 'Ten days', anchor: {} }], added_total: 1, removed_total: 5 }),
    'GET /knowledge_base/download_doc': () => new Response('x'),
    'POST /knowledge_base/restore_version': (body) => {
      restored.push(body)
      return ok({ document_id: 'a', state: 'ready' })
    },
  })
  const saved = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => {})
  vi.stubGlobal('URL', Object.assign(URL, { createObjectURL: () => 'blob:x', revokeObjectURL: () => {} }))
  const wrapper = await show(FilePage, { base: 'hr', name: 'a.pdf', tab: 'versions' })
  await vi.waitFor(() => expect(wrapper.findAll('.version')).toHaveLength(2), 10_000)
  const [first, second] = wrapper.findAll('.version')
  expect(first!.text()).toContain('current')
  expect(first!.text()).not.toContain('Restore')
  const button = (words: string) => second!.findAll('button').find(one => one.text().startsWith(words))!
  await button('Compare').trigger('click')
  await vi.waitFor(() => expect(wrapper.find('ins').exists()).toBe(true), 10_000)
  expect(calls.at(-1)).toContain('old=a&new=b')
  expect(wrapper.text()).toContain('1 added, 5 removed, 3 as before')
  expect(wrapper.get('ins').text()).toMatch(/page 2\s*added: Twelve days/)
  expect(wrapper.get('del').text()).toBe('removed: Ten days')
  await button('Download').trigger('click')
  await flushPromises()
  expect(calls.at(-1)).toContain('document_id=a')
  expect(saved).toHaveBeenCalledOnce()
  await button('Restore').trigger('click')
  await wrapper.get('.buttons .primary').trigger('click')
  await flushPromises()
  expect(restored).toEqual([{ knowledge_base_name: 'hr', file_name: 'a.pdf', document_id: 'a' }])
})

it('a file that is being read tells so, and its passages are not to be changed', async () => {
  serve({
    'GET /knowledge_base/versions': () => ok([{ ...now, state: 'embedding' }]),
    'GET /knowledge_base/chunks': () => ok({ items: [], total: 0, page_size: 50 }),
  })
  const wrapper = await show(FilePage, { base: 'hr', name: 'a.pdf', tab: '' })
  expect(wrapper.get('.busy').text()).toContain('being read')
  expect(wrapper.get('.bar .button').attributes('disabled')).toBeDefined()
  wrapper.unmount()
})

it('a package is written into a file as it comes, where the browser lets it', async () => {
  const written: Uint8Array[] = []
  const counts: number[] = []
  vi.stubGlobal('showSaveFilePicker', async () => ({ createWritable: async () => new WritableStream<Uint8Array>({ write: chunk => void written.push(chunk) }) }))
  serve({ 'GET /knowledge_base/export': () => new Response('package') })
  await saveStream('/knowledge_base/export', 'hr.zip', count => counts.push(count), new AbortController().signal)
  expect(new TextDecoder().decode(written[0])).toBe('package')
  expect(counts).toEqual([7])
  vi.unstubAllGlobals()
})

it('an export that is refused says why', async () => {
  serve({ 'GET /knowledge_base/export': () => refuse(409, 'A file is being read') })
  const wrapper = await show(ExportPart, { base: 'hr' })
  await wrapper.get('button').trigger('click')
  await flushPromises()
  expect(wrapper.get('[role=alert]').text()).toBe('A file is being read')
})

it('an import tells how far it is, why it was refused, and what came of it', async () => {
  const sent = catchUploads()
  serve({ 'GET /knowledge_base/list_knowledge_bases_v2': () => ok([{ kb_name: 'hr2', kb_zh_name: 'People' }]) })
  const wrapper = await show(ImportSheet, { open: true })
  const input = wrapper.get('[type=file]').element as HTMLInputElement
  Object.defineProperty(input, 'files', { value: [new File(['x'], 'hr.zip')] })
  await wrapper.get('[type=file]').trigger('change')
  await wrapper.get('#import .field').setValue(' hr2 ')
  await wrapper.get('#import').trigger('submit')
  sent[0]!.progress(30)
  await flushPromises()
  expect(wrapper.text()).toContain('Uploading 30%')
  sent[0]!.progress(100)
  await flushPromises()
  expect(wrapper.get('progress').attributes('value')).toBeUndefined()
  sent[0]!.answer(409, { msg: 'There is one of this name', error: { code: 'already_exists' } })
  await flushPromises()
  expect(wrapper.get('[role=alert]').text()).toBe('There is one of this name')
  await wrapper.get('#import').trigger('submit')
  expect(sent[1]!.form.get('knowledge_base_name')).toBe('hr2')
  sent[1]!.answer(200, { data: { knowledge_base_name: 'hr2', documents: 3, embedded_again: false, waiting: 0 } })
  await flushPromises()
  expect(wrapper.get('.done').text()).toContain('“People” is here, with 3 files.')
  await wrapper.get('.button.primary').trigger('click')
  expect(wrapper.emitted('open')).toContainEqual(['hr2'])
})
