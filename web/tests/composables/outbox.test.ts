import { expect, it, vi } from 'vitest'
import { useOutbox } from '@/composables/useOutbox'
import { useSessionStore } from '@/stores/session'
import { cutOff, ok, serve, signIn } from '../support'

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

it('is nobody\'s until it is known who comes', async () => {
  signIn('u1')
  const session = useSessionStore()
  serve({ 'POST /auth/session': cutOff })
  session.start({ kind: 'ticket', secret: 'tk_other' })
  await expect(session.whenReady()).rejects.toThrow()
  expect([session.owner, session.isIn]).toEqual(['', false])
})
