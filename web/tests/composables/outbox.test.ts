import type { Delivery } from '@/composables/useOutbox'
import { expect, it, vi } from 'vitest'
import { useChatOptions } from '@/composables/useChatOptions'
import { useOutbox } from '@/composables/useOutbox'
import { lettersOf } from '@/storage/outbox'
import { useSessionStore } from '@/stores/session'
import { cutOff, ok, refuse, serve, signIn } from '../support'

const question = (id: string) => ({ message_id: id.repeat(32), mode: 'llm_chat' as const, query: `q${id}`, session_id: 's'.repeat(32) })

it('sends nobody\'s question as somebody else who comes meanwhile', async () => {
  signIn('u1')
  const outbox = useOutbox()
  serve({ 'POST /chat/answers': cutOff })
  await outbox.post(question('a'))
  await outbox.post(question('b'))

  const sent: string[] = []
  const session = useSessionStore()
  serve({
    'POST /auth/session': () => ok({ session_token: 'st_other', user: { client_id: 'c', user_id: 'u2', username: 'Bo', role: 'user' } }),
    'POST /chat/answers': (body) => {
      sent.push(String(body.query))
      // Another person signs in while the first question is on its way.
      session.start({ kind: 'ticket', secret: 'tk_other' })
      return ok({ message_id: body.message_id, state: 'writing' }, 202)
    },
  })
  await outbox.flush()
  await session.whenReady()
  await outbox.flush()
  expect(sent).toEqual(['qa'])
  expect(session.owner).toBe('c/u2')

  sent.length = 0
  signIn('u1')
  serve({ 'POST /chat/answers': (body) => {
    sent.push(String(body.query))
    return ok({ message_id: body.message_id, state: 'writing' }, 202)
  } })
  await vi.waitFor(async () => {
    await outbox.flush()
    expect(sent).toEqual(['qb'])
  })
})

it('drops nothing that a server may yet take, and lets other conversations pass', async () => {
  signIn('u1')
  const outbox = useOutbox()
  const told: Delivery[] = []
  const unlisten = outbox.listen(delivery => told.push(delivery))
  let isDown = true
  const sent: string[] = []
  serve({ 'POST /chat/answers': (body) => {
    if (isDown && body.session_id === 's'.repeat(32))
      return refuse(503, 'Being restarted')
    sent.push(String(body.query))
    return ok({ message_id: body.message_id, state: 'writing' }, 202)
  } })
  await outbox.post(question('c'))
  await outbox.post(question('d'))
  await outbox.post({ ...question('e'), session_id: 'z'.repeat(32) })
  for (let n = 0; n < 5; n++)
    await outbox.flush()
  expect(sent).toEqual(['qe'])
  expect(told.filter(one => one.kind === 'refused')).toEqual([])
  expect(told.find(one => one.kind === 'waiting')).toMatchObject({ messageId: 'c'.repeat(32), on: 'server', error: { message: 'Being restarted' } })
  expect(await lettersOf('c/u1')).toHaveLength(2)
  isDown = false
  await outbox.flush()
  expect(sent).toEqual(['qe', 'qc', 'qd'])
  unlisten()
})

it('is nobody\'s until it is known who comes', async () => {
  signIn('u1')
  const session = useSessionStore()
  serve({ 'POST /auth/session': cutOff })
  session.start({ kind: 'ticket', secret: 'tk_other' })
  await expect(session.whenReady()).rejects.toThrow()
  expect([session.owner, session.isIn]).toEqual(['', false])
})

it('keeps and sends a question that is asked of several knowledge bases', async () => {
  signIn('u1')
  const options = useChatOptions('s'.repeat(32))
  options.choose('rules')
  options.set({ other_knowledge_bases: ['*'] })
  const sent: unknown[] = []
  serve({ 'POST /chat/answers': (body) => {
    sent.push(body.other_knowledge_bases)
    return ok({ message_id: body.message_id, state: 'writing' }, 202)
  } })
  await useOutbox().post({ ...options.asked.value, ...question('f'), mode: 'knowledge_base_chat' })
  expect(sent).toEqual([['*']])
})

it('sends what the device has no room for', async () => {
  signIn('u1')
  const sent: unknown[] = []
  serve({ 'POST /chat/answers': (body) => {
    sent.push(body.query)
    return ok({ message_id: body.message_id, state: 'writing' }, 202)
  } })
  const put = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('full', 'QuotaExceededError')
  })
  await useOutbox().post(question('9'))
  put.mockRestore()
  expect(sent).toEqual(['q9'])
  expect(await lettersOf('c/u1')).toEqual([])
})
