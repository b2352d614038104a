import type { App } from 'vue'
import type { Doc } from '@/manage/useDocuments'
import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadArea } from '@/i18n'
import DocumentRow from '@/manage/DocumentRow.vue'
import UploadRow from '@/manage/UploadRow.vue'
import { useUploads } from '@/manage/useUploads'
import { useSwitchesStore } from '@/stores/switches'
import { plugins, signIn, within } from '../support'
import { catchUploads } from '../uploads'

let app: App
const file = (name: string) => new File(['x'], name)
const taken = { code: 200, data: { failed_files: {}, documents: [] } }

beforeEach(() => signIn())
afterEach(() => app?.unmount())

describe('uploads', () => {
  async function open(onArrived = () => {}) {
    const mounted = await within(() => useUploads('hr', onArrived))
    app = mounted.app
    return mounted.result
  }

  it('go two at a time, tell how far they are, and leave the list when they have arrived', async () => {
    const sent = catchUploads()
    const onArrived = vi.fn()
    const uploads = await open(onArrived)
    uploads.add([file('a'), file('b'), file('c')])
    expect(uploads.items.value.map(item => item.state)).toEqual(['sending', 'sending', 'waiting'])
    sent[0]!.progress(40)
    expect(uploads.items.value[0]?.percent).toBe(40)
    sent[0]!.answer(200, taken)
    await flushPromises()
    expect(uploads.items.value.map(item => [item.file.name, item.state])).toEqual([['b', 'sending'], ['c', 'sending']])
    expect(onArrived).toHaveBeenCalledOnce()
    expect(sent[0]!.form.get('override')).toBe('false')
  })

  it('tell why one was refused, and replace what has the same name when that is wanted', async () => {
    const sent = catchUploads()
    const uploads = await open()
    uploads.add([file('a')])
    sent[0]!.answer(409, { msg: 'There is one', error: { code: 'already_exists' } })
    await flushPromises()
    expect(uploads.items.value[0]).toMatchObject({ state: 'refused', reason: 'There is one', isTaken: true })
    uploads.retry(uploads.items.value[0]!, true)
    expect(sent[1]!.form.get('override')).toBe('true')
    sent[1]!.answer(200, { data: { failed_files: { a: 'Damaged' }, documents: [] } })
    await flushPromises()
    expect(uploads.items.value[0]).toMatchObject({ state: 'refused', reason: 'Damaged', isTaken: false })
    const row = mount(UploadRow, { props: { item: uploads.items.value[0]! }, global: { plugins: [...await plugins()] } })
    expect(row.find('.retry').exists()).toBe(false)
  })

  it('may be tried once more where the file is not at fault', async () => {
    const sent = catchUploads()
    const uploads = await open()
    uploads.add([file('a')])
    sent[0]!.answer(503, { msg: 'Full', error: { code: 'busy' } })
    await flushPromises()
    const row = mount(UploadRow, { props: { item: uploads.items.value[0]! }, global: { plugins: [...await plugins()] } })
    await row.get('.retry').trigger('click')
    expect(row.emitted('retry')).toEqual([[false]])
  })

  it('are not begun for what is known to be too large', async () => {
    const sent = catchUploads()
    const uploads = await open()
    useSwitchesStore().switches.max_file_size = 3 * 1024 ** 2
    uploads.add([Object.defineProperty(file('a'), 'size', { value: 4e6 }), Object.defineProperty(file('c'), 'size', { value: 5e6 }), file('b')])
    await flushPromises()
    expect(sent.map(one => (one.form.get('files') as File).name)).toEqual(['b'])
    expect(uploads.items.value[0]).toMatchObject({ state: 'refused', reason: 'The file is larger than 3 MB' })
  })

  it('are broken off when nobody wants them any more', async () => {
    const sent = catchUploads()
    const uploads = await open()
    uploads.add([file('a')])
    uploads.cancel(uploads.items.value[0]!)
    await flushPromises()
    expect(sent[0]!.wasAborted).toBe(true)
    expect(uploads.items.value).toEqual([])
  })
})

it('a document that failed says why over the whole width; one that is read, how far it is', async () => {
  const item = { document_id: 'd', file_name: 'a.pdf', state: 'failed', size: 1, chunks: 0, create_time: '2026-01-01T00:00:00Z', reason: 'The file is damaged', percent: 0, tags: [], properties: {}, visible_to: null, warnings: [], found_by: [] } as unknown as Doc
  const global = { plugins: [...await plugins()] }
  await Promise.all(['manage', 'ingest'].map(loadArea))
  const row = mount(DocumentRow, { props: { item }, global })
  expect(row.get('.reason').text()).toBe('The file is damaged')
  expect(row.get('.words').text()).not.toContain('damaged')
  await row.setProps({ item: { ...item, state: 'embedding', reason: null, job: { stage: 'embedding', percent: 99 } as Doc['job'] } })
  expect(row.get('.meta').text()).toMatch(/ 99%$/)
})
