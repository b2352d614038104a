import type { App } from 'vue'
import type { Doc } from '@/manage/useDocuments'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { useDocuments } from '@/manage/useDocuments'
import { ok, serve, signIn, within } from '../support'

let app: App

beforeEach(() => signIn())
afterEach(() => app?.unmount())

it('documents are looked at until they are read, and their knowledge base counts them then', async () => {
  const states = ['parsing', 'embedding', 'ready']
  const row = () => ({ document_id: 'd', file_name: 'a', state: states.shift() ?? 'ready', size: 1, chunks: 2, create_time: '' })
  const calls = serve({
    'GET /knowledge_base/documents': () => ok({ items: [row()], total: 1 }),
    'GET /jobs': () => ok({ items: [{ document_id: 'd', state: 'running', percent: 60 }, { document_id: 'd', state: 'failed', percent: 10 }], total: 2 }),
  })
  const onDone = vi.fn()
  const mounted = await within(() => useDocuments('hr', onDone))
  app = mounted.app
  vi.useFakeTimers()
  await mounted.result.refresh()
  expect(mounted.result.items.value[0]).toMatchObject({ state: 'parsing', job: { percent: 60 } })
  await vi.advanceTimersByTimeAsync(10_000)
  expect(mounted.result.items.value[0]?.state).toBe('ready')
  expect(onDone).toHaveBeenCalledOnce()
  const before = calls.length
  await vi.advanceTimersByTimeAsync(60_000)
  expect(calls).toHaveLength(before)
})

it('a file that is read again is cut as its upload said', async () => {
  const chunking = { chunk_method: 'qa', chunk_size: 250, chunk_overlap: 0, zh_title_enhance: false, parent_size: null }
  const asked: object[] = []
  serve({
    'GET /knowledge_base/documents': () => ok({ items: [], total: 0 }),
    'POST /knowledge_base/update_docs': (body) => {
      asked.push(body)
      return ok({})
    },
  })
  const mounted = await within(() => useDocuments('hr', () => {}))
  app = mounted.app
  await mounted.result.again({ file_name: 'a.csv', chunking } as Doc)
  await mounted.result.again({ file_name: 'b.csv', chunking: { ...chunking, chunk_size: 0 } } as Doc)
  expect(asked).toMatchObject([{ file_names: ['a.csv'], chunk_method: 'qa', chunk_size: 250 }, { file_names: ['b.csv'] }])
  expect(asked[1]).not.toHaveProperty('chunk_method')
})

it('documents that have come are counted before they are read', async () => {
  let count = 1
  serve({
    'GET /knowledge_base/documents': () => ok({ items: Array.from({ length: count }, (_, id) => ({ document_id: `${id}`, file_name: `${id}`, state: 'parsing', size: 1, chunks: 0, create_time: '' })), total: count }),
    'GET /jobs': () => ok({ items: [], total: 0 }),
  })
  const onDone = vi.fn()
  const mounted = await within(() => useDocuments('hr', onDone))
  app = mounted.app
  await mounted.result.refresh()
  expect(onDone).not.toHaveBeenCalled()
  count = 3
  await mounted.result.refresh()
  expect(onDone).toHaveBeenCalledOnce()
})
