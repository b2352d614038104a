import type { App } from 'vue'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useChat } from '@/composables/useChat'
import { useOutbox } from '@/composables/useOutbox'
import { dropLetter, lettersOf } from '@/storage/outbox'
import { cutOff, ok, refuse, serve, signIn, within } from '../support'

const frame = (event: string, data: object, id?: number) => `event: ${event}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`
function answer(text: string) {
  return () => new Response([
    frame('status', { stage: 'reading', count: 3 }),
    frame('sources', { hits: [{ number: 1, text: 'p' }] }),
    frame('delta', { text }, text.length),
    frame('finished', { message_id: 'm', outcome: 'answered', follow_ups: ['And?'] }),
  ].join(''))
}

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

describe('a conversation', () => {
  it('asks, follows and ends with sources and suggestions', async () => {
    serve({ 'POST /chat/answers': () => ok({ state: 'writing' }, 202), 'GET /chat/answers': answer('Hello') })
    const chat = await open()
    await chat.ask('Hi?')
    await vi.waitFor(() => expect(chat.messages.value[0]).toMatchObject({ state: 'done', text: 'Hello', outcome: 'answered', followUps: ['And?'] }))
    expect(chat.messages.value[0]?.sources).toHaveLength(1)
    expect(chat.lastEnded.value?.query).toBe('Hi?')
    expect(chat.current.value).toBeNull()
  })

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

  it('shows after a reload what still waits, and what is being written', async () => {
    serve({ 'POST /chat/answers': cutOff })
    await (await open()).ask('Second?')
    app.unmount()
    const row = { id: 'a'.repeat(32), query: 'First?', response: 'He', docs: [], create_time: '2026-01-01', state: 'writing', error_code: null, feedback_score: null }
    serve({
      'POST /history/latest': () => ok([row]),
      'POST /chat/answers': cutOff,
      'GET /chat/answers': answer('Hello'),
    })
    const chat = await open()
    await chat.load()
    expect(chat.messages.value.map(message => message.query)).toEqual(['First?', 'Second?'])
    await vi.waitFor(() => expect(chat.messages.value[0]).toMatchObject({ text: 'Hello', state: 'done' }))
    expect(chat.messages.value[1]?.state).toBe('queued')
  })

  it('tells why the server refuses, and drops the letter', async () => {
    serve({ 'POST /chat/answers': () => refuse(422, 'No such model') })
    const chat = await open()
    await chat.ask('Hi?')
    await vi.waitFor(() => expect(chat.messages.value[0]).toMatchObject({ state: 'failed', problem: 'No such model' }))
    expect(await lettersOf('c/u1')).toEqual([])
  })

  it('keeps the question when the login has expired', async () => {
    serve({ 'POST /chat/answers': () => refuse(401) })
    const chat = await open()
    await chat.ask('Hi?')
    expect(await lettersOf('c/u1')).toHaveLength(1)
    expect(chat.messages.value[0]?.state).toBe('queued')
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

  it('gives a question back that was not sent yet', async () => {
    serve({ 'POST /chat/answers': cutOff })
    const chat = await open()
    await chat.ask('Hi?')
    expect(await chat.stop(chat.messages.value[0]!)).toBe('Hi?')
    expect(chat.messages.value).toEqual([])
    expect(await lettersOf('c/u1')).toEqual([])
  })

  it('stops, and answers again in place', async () => {
    const bodies: unknown[] = []
    serve({
      'POST /chat/answers': (body) => {
        bodies.push(body.regenerate ?? false)
        return ok({ state: 'writing' }, 202)
      },
      'GET /chat/answers': () => new Response(frame('delta', { text: 'Half' }, 4) + frame('cut', { message_id: 'm' })),
    })
    const chat = await open()
    await chat.ask('Hi?')
    await vi.waitFor(() => expect(chat.messages.value[0]).toMatchObject({ state: 'cut', text: 'Half' }))
    await chat.regenerate(chat.messages.value[0]!)
    await vi.waitFor(() => expect(bodies).toEqual([false, true]))
    expect(chat.messages.value).toHaveLength(1)
  })

  it('puts older messages before the others', async () => {
    const row = (n: number) => ({ id: String(n), query: `q${n}`, response: 'r', docs: [], create_time: '', state: 'done', error_code: null, feedback_score: null })
    const tens = Array.from({ length: 10 }, (_, n) => row(20 - n))
    serve({ 'POST /history/latest': body => ok(body.chat_id === '11' ? [row(10)] : tens) })
    const chat = await open()
    await chat.load()
    expect(chat.hasOlder.value).toBe(true)
    await chat.loadOlder()
    expect(chat.messages.value.map(message => message.id).slice(0, 2)).toEqual(['10', '11'])
    expect(chat.hasOlder.value).toBe(false)
  })
})
