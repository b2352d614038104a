import type { App } from 'vue'
import { createPinia, setActivePinia } from 'pinia'
import { vi } from 'vitest'
import { createApp } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { i18n, setLanguage } from '@/i18n'
import { useSessionStore } from '@/stores/session'

type Handler = (body: Record<string, unknown>, path: string) => Response | Promise<Response>

export const ok = (data: unknown, status = 200) => Response.json({ code: status, msg: 'success', data }, { status })
export const refuse = (status: number, msg = 'no') => Response.json({ code: status, msg, error: { code: 'refused', request_id: 'r' } }, { status })

/** A server of these paths (method and beginning of the path); everything else is 404. Returns what was called. */
export function serve(handlers: Record<string, Handler>) {
  const calls: string[] = []
  vi.stubGlobal('fetch', async (path: string, init: RequestInit = {}) => {
    const name = `${init.method ?? 'GET'} ${path}`
    calls.push(name)
    const found = Object.keys(handlers).filter(prefix => name.startsWith(prefix)).sort((a, b) => b.length - a.length)[0]
    const body = typeof init.body === 'string' ? JSON.parse(init.body) as Record<string, unknown> : {}
    return found ? handlers[found]!(body, path) : refuse(404)
  })
  return calls
}

export const cutOff: Handler = () => { throw new TypeError('Failed to fetch') }

/** Somebody who has come in. */
export function signIn(userId = 'u1'): void {
  sessionStorage.setItem('session', 'st_test')
  sessionStorage.setItem('caller', JSON.stringify({ client_id: 'c', user_id: userId, username: 'Ann', role: 'user' }))
  setActivePinia(createPinia())
  useSessionStore()
}

export async function plugins() {
  await setLanguage('en')
  const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/:rest(.*)*', name: 'home', component: { template: '<i />' } }] })
  return [i18n, router] as const
}

/** Run a composable as a component would. */
export async function within<T>(use: () => T): Promise<{ result: T, app: App }> {
  await setLanguage('en')
  let result: T | undefined
  const app = createApp({
    setup() {
      result = use()
      return () => null
    },
  }).use(i18n)
  app.mount(document.createElement('div'))
  return { result: result as T, app }
}

export const frame = (event: string, data: object, id?: number) => `event: ${event}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`
/** The events of a whole answer. */
export function answer(text: string) {
  return () => new Response([
    frame('status', { stage: 'reading', count: 3 }),
    frame('sources', { hits: [{ number: 1, text: 'p' }] }),
    frame('delta', { text }, text.length),
    frame('finished', { message_id: 'm', outcome: 'answered', follow_ups: ['And?'], checks: [{ start: 0, end: 1, numbers: [1], verified: true, reason: null }], nearest: [] }),
  ].join(''))
}
