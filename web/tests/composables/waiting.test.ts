import type { App } from 'vue'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useChat } from '@/composables/useChat'
import { useOutbox } from '@/composables/useOutbox'
import { dropLetter, lettersOf } from '@/storage/outbox'
import { useSessionStore } from '@/stores/session'
import { answer, cutOff, ok, refuse, serve, signIn, within } from '../support'

let app: App

async function open() {
  const mounted = await within(() => useChat('s1', () => ({ mode: 'llm_chat' })))
  app = mounted.app
  return mounted.result
}

beforeEach(() => {
  signIn()
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(async () => {
  app.unmount()
  for (const letter of await lettersOf('c/u1'))
    await dropLetter(letter.message_id)
})

describe('a question that waits', () => {
  it('keeps a question that was written offline, and sends it exactly once, under one id', async () => {
    const ids: unknown[] = []
    serve({ 'POST /chat/answers': cutOff })
    const chat = await open()
    await chat.ask('Hi?')
    expect(chat.messages.value[0]).toMatchObject({ state: 'queued', isLost: true })
    expect(await lettersOf('c/u1')).toHaveLength(1)
    const accept = (body: Record<string, unknown>) => {
      ids.push(body.message_id)
      return ok({ state: 'writing' }, 202)
    }
    serve({ 'POST /chat/answers': accept, 'GET /chat/answers': answer('Hello') })
    await Promise.all([useOutbox().flush(), useOutbox().flush()])
    await vi.waitFor(() => expect(chat.messages.value[0]?.state).toBe('done'))
    expect(ids).toEqual([chat.messages.value[0]?.id])
    expect(await lettersOf('c/u1')).toEqual([])
  })

  it('keeps the question when the login has expired', async () => {
    serve({ 'POST /chat/answers': () => refuse(401) })
    const chat = await open()
    await chat.ask('Hi?')
    expect(await lettersOf('c/u1')).toHaveLength(1)
    // The network is there.
    expect(chat.messages.value[0]).toMatchObject({ state: 'queued', hold: 'login', isLost: false })
    await chat.regenerate(chat.messages.value[0]!)
    expect(useSessionStore().isExpired).toBe(true)
    serve({ 'POST /chat/answers': () => ok({ state: 'writing' }, 202), 'GET /chat/answers': answer('Hello') })
    await useOutbox().flush()
    await vi.waitFor(() => expect(chat.messages.value[0]).toMatchObject({ state: 'done', text: 'Hello' }))
  })

  it('sends nobody else\'s questions', async () => {
    serve({ 'POST /chat/answers': cutOff })
    await (await open()).ask('Hi?')
    app.unmount()
    signIn('u2')
    const calls = serve({ 'POST /chat/answers': () => ok({ state: 'writing' }, 202) })
    await open()
    await useOutbox().flush()
    expect(calls).toEqual([])
  })

  it('leaves the device with its writer, as drafts do', async () => {
    serve({ 'POST /chat/answers': cutOff, 'DELETE /auth/session': () => ok(null) })
    await (await open()).ask('Hi?')
    localStorage.setItem('draft:c/u1:home', 'my secret')
    localStorage.setItem('draft:c/u10:home', 'of another one')
    await useSessionStore().leave()
    expect(await lettersOf('c/u1')).toEqual([])
    expect(Object.keys(localStorage)).toEqual(['draft:c/u10:home'])
  })

  it('gives a question back that was not sent yet', async () => {
    serve({ 'POST /chat/answers': cutOff })
    const chat = await open()
    await chat.ask('Hi?')
    expect(await chat.stop(chat.messages.value[0]!)).toBe('Hi?')
    expect(chat.messages.value).toEqual([])
    expect(await lettersOf('c/u1')).toEqual([])
  })
})
