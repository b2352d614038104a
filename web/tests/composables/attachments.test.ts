import type { App } from 'vue'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { useAttachments } from '@/composables/useAttachments'
import { useChatOptions } from '@/composables/useChatOptions'
import { beginChat } from '@/storage/fresh'
import { ok, refuse, serve, signIn, within } from '../support'
import { catchUploads } from '../uploads'

let app: App
/** What the next upload is answered with. */
let answer = { status: 202, body: {} as unknown }

async function open(ensure = async () => {}) {
  const mounted = await within(() => useAttachments('s', ensure))
  app = mounted.app
  return mounted.result
}
const file = new File(['x'], 'a.txt')

async function send(files: Awaited<ReturnType<typeof open>>): Promise<void> {
  const sent = catchUploads()
  const done = files.add([file])
  await Promise.resolve()
  sent[0]!.answer(answer.status, answer.body)
  await done
}

beforeEach(() => {
  signIn()
})
afterEach(() => app.unmount())

it('sends a file once its conversation is known, and looks until it is read', async () => {
  const states = ['parsing', 'ready']
  serve({ 'GET /session/files': () => ok([{ document_id: 'd', file_name: 'a.txt', state: states.shift() ?? 'ready', percent: 40, reason: null }]) })
  answer = { status: 202, body: { data: [{ document_id: 'd', file_name: 'a.txt', state: 'waiting', reason: null }] } }
  const ensure = vi.fn(async () => {})
  const files = await open(ensure)
  vi.useFakeTimers()
  await send(files)
  expect(ensure).toHaveBeenCalledWith('a.txt')
  expect(files.isBusy.value).toBe(true)
  await vi.advanceTimersByTimeAsync(5000)
  expect(files.items.value).toMatchObject([{ documentId: 'd', state: 'ready' }])
  expect(files.isBusy.value).toBe(false)
})

it('tells why a file was refused', async () => {
  answer = { status: 415, body: { msg: 'No such kind', error: { code: 'unsupported', request_id: 'r' } } }
  const files = await open()
  await send(files)
  expect(files.items.value).toMatchObject([{ name: 'a.txt', state: 'refused', reason: 'No such kind' }])
  await files.remove(files.items.value[0]!)
  expect(files.items.value).toEqual([])
})

it('asks nobody for the files of a conversation that was just begun', async () => {
  const calls = serve({})
  beginChat('s')
  const files = await open()
  await files.start()
  expect(calls).toEqual([])
})

it('is content with a conversation that nobody knows yet', async () => {
  serve({ 'GET /session/files': () => refuse(404) })
  const files = await open()
  await files.start()
  expect(files.items.value).toEqual([])
})

it('keeps what the drawer sets with the session, and only that', async () => {
  const bodies: unknown[] = []
  serve({ 'POST /session/save': (body) => {
    bodies.push(body)
    return ok(true)
  } })
  const mounted = await within(() => useChatOptions('s'))
  app = mounted.app
  const options = mounted.result
  options.choose('hr')
  options.set({ temperature: 0.2, model_name: 'm' })
  options.set({ model_name: undefined })
  await options.save('How many days?')
  expect(bodies).toEqual([{ session_id: 's', session_name: 'How many days?', mode: 'Knowledge', param: { knowledge_base_name: 'hr', temperature: 0.2 } }])
  // Named after a file that was attached first: the first question is the better name.
  await options.save('Of how many days?', ['How many days? a long list.pdf'])
  await options.save('And how many nights?')
  expect(bodies.slice(1).map(body => (body as { session_name: string }).session_name)).toEqual(['Of how many days?', 'Of how many days?'])
  options.reset()
  expect(options.options.value).toEqual({ knowledge_base_name: 'hr' })
  // Where else to look is for questions to a knowledge base, and stays when that is another one.
  options.set({ other_knowledge_bases: ['*'] })
  options.choose('it')
  expect(options.asked.value).toEqual({ knowledge_base_name: 'it', other_knowledge_bases: ['*'] })
  options.choose('')
  expect(options.asked.value).toEqual({})
})
