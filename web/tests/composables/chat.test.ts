import type { App } from 'vue'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useChat } from '@/composables/useChat'
import { beginChat } from '@/storage/fresh'
import { dropLetter, lettersOf } from '@/storage/outbox'
import { answer, cutOff, frame, ok, refuse, serve, signIn, within } from '../support'

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

  it('says whether it is new, and does not bring a deleted one back', async () => {
    const told: unknown[] = []
    let isGone = false
    serve({
      'POST /chat/answers': (body) => {
        told.push(body.session_is_new)
        return isGone ? Response.json({ code: 404, msg: 'no', error: { code: 'session_not_found' } }, { status: 404 }) : ok({ state: 'writing' }, 202)
      },
      'GET /chat/answers': answer('Hello'),
    })
    beginChat('s1')
    const chat = await open()
    await chat.ask('Hi?')
    await chat.ask('And?')
    isGone = true
    await chat.ask('Still there?')
    expect(told).toEqual([true, false, false])
    await vi.waitFor(() => expect(chat.messages.value[2]).toMatchObject({ state: 'failed' }))
    expect(chat.messages.value[2]?.problem).toContain('deleted elsewhere')
    expect(await lettersOf('c/u1')).toEqual([])
  })

  it.each([['user', 'tell your administrator'], ['manager', 'check base_url']])('tells a %s of a failed model what is of use to them', async (role, words) => {
    sessionStorage.setItem('caller', JSON.stringify({ client_id: 'c', user_id: 'u1', username: 'Ann', role }))
    setActivePinia(createPinia())
    serve({
      'POST /chat/answers': () => ok({ state: 'writing' }, 202),
      'GET /chat/answers': () => new Response(frame('failed', { error: { code: 'upstream_unreachable', message: 'check base_url' } })),
    })
    const chat = await open()
    await chat.ask('Hi?')
    await vi.waitFor(() => expect(chat.messages.value[0]?.problem).toContain(words))
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
