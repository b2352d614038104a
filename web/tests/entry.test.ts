import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { bindCaller, call, get } from '@/api/client'
import { makeRouter } from '@/router'
import { keepNext, takeArrival, useSessionStore } from '@/stores/session'
import { cutOff, ok, refuse, serve } from './support'

const USER = { client_id: 'c', user_id: 'u', username: 'Ann', role: 'manager' }
const at = (path: string) => history.replaceState(null, '', path)
const here = () => location.pathname + location.search + location.hash

beforeEach(() => setActivePinia(createPinia()))

describe('the way in', () => {
  it.each([
    ['/h5/#tk=tk_1', { kind: 'ticket', secret: 'tk_1' }],
    ['/h5/#ticket=tk_1', { kind: 'ticket', secret: 'tk_1' }],
    ['/h5/#t=abc', { kind: 'api_token', secret: 'abc' }],
    ['/h5/sso?token=st_1', { kind: 'session', secret: 'st_1' }],
  ])('takes what is in %s, and leaves no trace of it in the address', (path, arrival) => {
    at(path)
    expect(takeArrival()).toEqual(arrival)
    expect(here()).toBe('/h5/')
  })

  it('leads on to where the sign-in began, and nowhere else', () => {
    keepNext('/h5/chat/1')
    at('/h5/#tk=tk_1')
    takeArrival()
    expect(here()).toBe('/h5/chat/1')
    keepNext('//evil.example/h5/')
    at('/h5/#tk=tk_1')
    takeArrival()
    expect(here()).toBe('/h5/')
  })

  it('exchanges a ticket, and is still in after a reload', async () => {
    serve({ 'POST /auth/session': body => body.ticket === 'tk_1' ? ok({ session_token: 'st_1', user: USER }) : refuse(401) })
    const session = useSessionStore()
    session.start({ kind: 'ticket', secret: 'tk_1' })
    await session.whenReady()
    setActivePinia(createPinia())
    expect(useSessionStore()).toMatchObject({ token: 'st_1', isIn: true, isManager: true, owner: 'c/u' })
  })

  it('shows why a ticket was refused, and asks no page of who is not in', async () => {
    at('/h5/')
    serve({ 'POST /auth/session': () => refuse(401, 'used before') })
    useSessionStore().start({ kind: 'ticket', secret: 'tk_1' })
    const router = makeRouter()
    await router.push('/sessions')
    expect(router.currentRoute.value).toMatchObject({ name: 'refused', query: { message: 'used before' } })
    setActivePinia(createPinia())
    await router.push('/')
    expect(router.currentRoute.value.name).toBe('sso')
  })

  it('keeps readers out of the editors\' pages', async () => {
    sessionStorage.setItem('session', 'st_1')
    sessionStorage.setItem('caller', JSON.stringify({ ...USER, role: 'user' }))
    const router = makeRouter()
    await router.push('/manage')
    expect(router.currentRoute.value.name).toBe('home')
  })
})

describe('calls', () => {
  it('say who calls and in which language, and give what is in the envelope', async () => {
    const fetch = vi.fn(async (_path: string, _init: RequestInit) => ok([1]))
    vi.stubGlobal('fetch', fetch)
    bindCaller({ token: () => 'st_1', language: () => 'en', expired: () => {} })
    expect(await get('/knowledge_base/list_files', { knowledge_base_name: 'a b' })).toEqual([1])
    expect(fetch.mock.calls[0]?.[0]).toBe('/knowledge_base/list_files?knowledge_base_name=a+b')
    expect(fetch.mock.calls[0]?.[1].headers).toMatchObject({ 'Authorization': 'Bearer st_1', 'Accept-Language': 'en' })
  })

  it('notice an expired login, but not by an answer to an older token', async () => {
    const session = useSessionStore()
    session.keep('st_1')
    serve({ 'GET /a': () => refuse(401) })
    await expect(call('/a')).rejects.toMatchObject({ status: 401 })
    expect(session.isExpired).toBe(true)
    expect(session.token).toBe('st_1')
    session.keep('st_2')
    const late = () => {
      session.keep('st_3')
      return refuse(401)
    }
    serve({ 'GET /a': late })
    await expect(call('/a')).rejects.toMatchObject({ status: 401 })
    expect(session.isExpired).toBe(false)
  })

  it('tell a network that is not there from a server that says no', async () => {
    serve({ 'GET /a': cutOff, 'GET /b': () => refuse(409, 'taken') })
    await expect(call('/a')).rejects.toMatchObject({ name: 'NetworkError' })
    await expect(call('/b')).rejects.toMatchObject({ name: 'ApiError', message: 'taken', requestId: 'r' })
  })
})
