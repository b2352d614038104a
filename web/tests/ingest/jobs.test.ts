import type { App } from 'vue'
import type { Job } from '@/api/jobs'
import type { Doc } from '@/manage/useDocuments'
import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { loadArea } from '@/i18n'
import JobsPage from '@/jobs/JobsPage.vue'
import DocumentRow from '@/manage/DocumentRow.vue'
import { useDocuments } from '@/manage/useDocuments'
import { frame, ok, plugins, refuse, serve, signIn, within } from '../support'

let app: App | undefined
const job = { job_id: 'j', document_id: 'd', file_name: 'a.pdf', knowledge_base_name: 'hr', done: 0, total: 0, chars: 0, state: 'running', stage: 'parsing', percent: 40, attempts: 1, max_attempts: 3, pages_done: 12, pages_total: 30, chunks: 0, eta_seconds: 42, can_cancel: true, can_retry: false, error_code: null, reason: null, create_time: '2026-01-01T00:00:00Z', finish_time: null } as Job
const row = { warnings: [], document_id: 'd', file_name: 'a.pdf', state: 'parsing', size: 1, chunks: 2, create_time: '2026-01-01T00:00:00Z', tags: [], properties: {}, visible_to: null, error_code: null, reason: null }

/** Events that come when they are said. */
function told() {
  let out: ReadableStreamDefaultController<Uint8Array>
  const opened = vi.fn()
  const body = () => new Response(new ReadableStream<Uint8Array>({ start: (controller) => {
    out = controller
    opened()
  } }))
  return { opened, body, say: (data: object) => out.enqueue(new TextEncoder().encode(frame('job', data))), cut: () => out.error(new TypeError('network')) }
}

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'ingest'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { RouterLink: { template: '<a><slot /></a>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())
afterEach(() => {
  app?.unmount()
  vi.useRealTimers()
})

it('files being read are followed by what the server tells, and are read once more when it tells something new', async () => {
  vi.useFakeTimers()
  const events = told()
  let state = 'parsing'
  const calls = serve({
    'GET /knowledge_base/documents': () => ok({ items: [{ ...row, state }], total: 1 }),
    'GET /jobs?': () => ok({ items: [job], total: 1 }),
    'GET /jobs/events?knowledge_base_name=hr': events.body,
  })
  const onDone = vi.fn()
  const mounted = await within(() => useDocuments('hr', onDone))
  app = mounted.app
  const { items, refresh } = mounted.result
  await refresh()
  await vi.advanceTimersByTimeAsync(1000)
  expect(events.opened).toHaveBeenCalledOnce()
  const before = calls.length
  events.say({ ...job, percent: 70 })
  await vi.advanceTimersByTimeAsync(20_000)
  expect(items.value[0]?.job?.percent).toBe(70)
  // Nobody asks while the server tells.
  expect(calls).toHaveLength(before)
  state = 'ready'
  events.say({ ...job, state: 'done', stage: 'ready', percent: 100 })
  await vi.advanceTimersByTimeAsync(2000)
  expect(items.value[0]).toMatchObject({ state: 'ready', job: null })
  expect(onDone).toHaveBeenCalledOnce()
  const after = calls.length
  await vi.advanceTimersByTimeAsync(60_000)
  expect(calls).toHaveLength(after)
})

it('where events break off or are not told, the server is asked again and again', async () => {
  vi.useFakeTimers()
  const events = told()
  let percent = 40
  serve({
    'GET /knowledge_base/documents': () => ok({ items: [row], total: 1 }),
    'GET /jobs?': () => ok({ items: [{ ...job, percent }], total: 1 }),
    'GET /jobs/events': () => percent === 40 ? events.body() : refuse(404),
  })
  const mounted = await within(() => useDocuments('hr', () => {}))
  app = mounted.app
  await mounted.result.refresh()
  await vi.advanceTimersByTimeAsync(1000)
  percent = 55
  events.cut()
  await vi.advanceTimersByTimeAsync(6000)
  expect(mounted.result.items.value[0]?.job?.percent).toBe(55)
  percent = 90
  await vi.advanceTimersByTimeAsync(12_000)
  expect(mounted.result.items.value[0]?.job?.percent).toBe(90)
})

it('a file being read tells its stage, pages and time left, that words find it, and can be stopped', async () => {
  const wrapper = await show(DocumentRow, { item: { ...row, found_by: ['words'], job } as unknown as Doc })
  expect(wrapper.get('.meta').text()).toBe('Reading 40% · page 12 of 30 · about 45 s left')
  expect(wrapper.get('progress').attributes('aria-valuetext')).toContain('page 12 of 30')
  expect(wrapper.get('.found').text()).toBe('Found by words already, by meaning soon')
  await wrapper.get('[aria-label="Stop reading a.pdf"]').trigger('click')
  expect(wrapper.emitted('cancel')).toHaveLength(1)
  await wrapper.setProps({ item: { ...row, state: 'ready', found_by: ['words', 'meaning'], warnings: ['Page 3 could not be read'], job: null } as unknown as Doc } as object)
  expect(wrapper.find('.found').exists()).toBe(false)
  expect(wrapper.get('.noted').text()).toBe('1 note')
  await wrapper.setProps({ item: { ...row, state: 'failed', error_code: 'cancelled', warnings: [], job: null } as unknown as Doc } as object)
  expect(wrapper.get('.meta').text()).toBe('Cancelled')
})

it('what is and was read can be looked through, cancelled and tried again', async () => {
  const failed = { ...job, job_id: 'f', file_name: 'b.pdf', state: 'failed', stage: 'failed', attempts: 3, can_cancel: false, can_retry: true, error_code: 'damaged', reason: 'The file is damaged', finish_time: '2026-01-01T00:01:00Z' }
  const calls = serve({
    'GET /jobs?': (_, path) => ok(path.includes('state=failed') ? { items: [failed], total: 1 } : { items: [job, failed], total: 2 }),
    'GET /jobs/events': () => refuse(404),
    'GET /knowledge_base/list_knowledge_bases_v2': () => ok([]),
    'POST /jobs/j/cancel': () => ok({ ...job, state: 'failed', error_code: 'cancelled' }),
    'POST /jobs/f/retry': () => refuse(429, 'Too many are waiting'),
  })
  const wrapper = await show(JobsPage, { base: 'hr' })
  const rows = wrapper.findAll('.row')
  expect(rows[0]!.text()).toContain('Reading 40% · page 12 of 30')
  expect(rows[1]!.text()).toContain('Failed · attempt 3 of 3')
  expect(rows[1]!.get('.reason').text()).toBe('The file is damaged')
  await wrapper.get('[aria-label="Stop reading a.pdf"]').trigger('click')
  await wrapper.get('[aria-label="Try b.pdf again"]').trigger('click')
  await flushPromises()
  expect(calls).toEqual(expect.arrayContaining(['POST /jobs/j/cancel', 'POST /jobs/f/retry']))
  await wrapper.findAll('[type=radio]')[2]!.setValue()
  await flushPromises()
  expect(wrapper.findAll('.row').map(one => one.get('.name').text())).toEqual(['b.pdf'])
  wrapper.unmount()
})
