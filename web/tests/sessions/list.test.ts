import type { App } from 'vue'
import type { SessionItem } from '@/stores/sessions'
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { useToast } from '@/composables/useToast'
import { loadArea } from '@/i18n'
import { useSessionList } from '@/sessions/useSessionList'
import { useSessionsStore } from '@/stores/sessions'
import { ok, refuse, serve, signIn, within } from '../support'

const row = (id: string, more: Partial<SessionItem> = {}): SessionItem => ({ session_id: id, session_name: id, mode: 'LLM', param: '{}', create_time: '2026-01-01T00:00:00Z', ...more })
let app: App

async function open() {
  await loadArea('sessions')
  const mounted = await within(() => useSessionList())
  app = mounted.app
  await mounted.result.load()
  return mounted.result
}
const ids = (list: Awaited<ReturnType<typeof open>>) => list.items.value.map(item => item.session_id)

beforeEach(() => signIn())
afterEach(() => app.unmount())

it('searches for the last words only, whatever answer comes last', async () => {
  const answers: Record<string, (value: Response) => void> = {}
  serve({ 'GET /session/list': (_, path) => {
    const q = new URL(path, 'http://h').searchParams.get('q')
    return q ? new Promise((resolve) => { answers[q] = resolve }) : ok([row('a')])
  } })
  const list = await open()
  list.words.value = 'on'
  const first = list.load()
  list.words.value = 'one'
  const second = list.load()
  answers.one!(ok([row('one')]))
  answers.on!(ok([row('on')]))
  await Promise.all([first, second])
  expect(ids(list)).toEqual(['one'])
})

it('deletes after a while, and not what was taken back', async () => {
  const calls = serve({ 'GET /session/list': () => ok([row('a'), row('b')]), 'POST /session/delete': () => ok(true) })
  const list = await open()
  vi.useFakeTimers()
  list.remove(list.items.value[0]!)
  expect(ids(list)).toEqual(['b'])
  useToast().toast.value?.action?.run()
  await vi.advanceTimersByTimeAsync(6000)
  expect(ids(list)).toEqual(['a', 'b'])
  list.remove(list.items.value[1]!)
  await vi.advanceTimersByTimeAsync(6000)
  expect(calls.filter(call => call.includes('delete'))).toHaveLength(1)
  expect(ids(list)).toEqual(['a'])
})

it('deletes at once, and beyond the page\'s end, when the page goes away', async () => {
  const inits: RequestInit[] = []
  serve({ 'GET /session/list': () => ok([row('a')]) })
  const list = await open()
  vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
    inits.push(init)
    return ok(true)
  })
  list.remove(list.items.value[0]!)
  window.dispatchEvent(new Event('pagehide'))
  await flushPromises()
  expect(inits).toMatchObject([{ keepalive: true, body: '{"session_id":"a"}' }])
})

it('brings back what the server would not delete', async () => {
  serve({ 'GET /session/list': () => ok([row('a')]), 'POST /session/delete': () => refuse(503, 'Later') })
  const list = await open()
  vi.useFakeTimers()
  list.remove(list.items.value[0]!)
  await vi.advanceTimersByTimeAsync(6000)
  expect(ids(list)).toEqual(['a'])
  expect(useToast().toast.value?.text).toContain('Later')
})

it('renames and pins, here and in the store', async () => {
  const bodies: unknown[] = []
  const note = (body: unknown) => {
    bodies.push(body)
    return ok(true)
  }
  serve({ 'GET /session/list': () => ok([row('a', { pinned: bodies.length > 1 })]), 'POST /session/save': note, 'POST /session/pin': note })
  const list = await open()
  await useSessionsStore().load()
  await list.rename(list.items.value[0]!, 'Another')
  expect(useSessionsStore().get('a')?.session_name).toBe('Another')
  await list.pin(list.items.value[0]!)
  expect(bodies).toEqual([{ session_id: 'a', session_name: 'Another', mode: 'LLM' }, { session_id: 'a', pinned: true }])
  expect(list.items.value[0]?.pinned).toBe(true)
})
