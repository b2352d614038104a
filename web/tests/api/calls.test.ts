import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { bindCaller, call, get } from '@/api/client'
import { useSessionStore } from '@/stores/session'
import { cutOff, ok, refuse, serve } from '../support'

beforeEach(() => setActivePinia(createPinia()))

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
