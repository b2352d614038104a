import type { App } from 'vue'
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { filesOf } from '@/manage/dropped'
import { sizeOf } from '@/manage/sizes'
import { useDocuments } from '@/manage/useDocuments'
import { useUploads } from '@/manage/useUploads'
import { ok, serve, signIn, within } from '../support'
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

it('documents are looked at until they are read, and their knowledge base counts them then', async () => {
  const states = ['parsing', 'embedding', 'ready']
  const row = () => ({ document_id: 'd', file_name: 'a', state: states.shift() ?? 'ready', size: 1, chunks: 2, create_time: '' })
  const calls = serve({
    'GET /knowledge_base/documents': () => ok({ items: [row()], total: 1 }),
    'GET /jobs': () => ok({ items: [{ document_id: 'd', percent: 60 }, { document_id: 'd', percent: 10 }], total: 2 }),
  })
  const onDone = vi.fn()
  const mounted = await within(() => useDocuments('hr', onDone))
  app = mounted.app
  vi.useFakeTimers()
  await mounted.result.refresh()
  expect(mounted.result.items.value[0]).toMatchObject({ state: 'parsing', percent: 60 })
  await vi.advanceTimersByTimeAsync(10_000)
  expect(mounted.result.items.value[0]?.state).toBe('ready')
  expect(onDone).toHaveBeenCalledOnce()
  const before = calls.length
  await vi.advanceTimersByTimeAsync(60_000)
  expect(calls).toHaveLength(before)
})

it('what is dropped brings along what is in its folders, and nothing that systems hide', async () => {
  const entry = (name: string) => ({ isFile: true, file: (done: (file: File) => void) => done(file(name)) })
  const parts = [[entry('a.txt'), entry('.DS_Store')], [entry('b.txt')], []]
  const folder = { isFile: false, createReader: () => ({ readEntries: (done: (entries: unknown[]) => void) => done(parts.shift()!) }) }
  const dropped = { items: [{ webkitGetAsEntry: () => folder }], files: [] }
  expect((await filesOf(dropped as unknown as DataTransfer)).map(one => one.name)).toEqual(['a.txt', 'b.txt'])
  expect((await filesOf({ items: [], files: [file('c')] } as unknown as DataTransfer)).map(one => one.name)).toEqual(['c'])
})

it('sizes are told in few figures', () => {
  expect([0, 999, 1500, 12_345_678].map(bytes => sizeOf(bytes, 'en'))).toEqual(['0 byte', '999 byte', '1.5 kB', '12 MB'])
})
