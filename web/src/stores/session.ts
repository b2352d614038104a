import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { bindCaller, call } from '@/api/client'
import { language } from '@/i18n/language'

/** What somebody brought along in the address; see `takeArrival`. */
export type Arrival = { kind: 'ticket' | 'api_token' | 'session', secret: string } | null

export interface User {
  client_id: string
  user_id: string
  username: string
  role: string
}

interface Login {
  session_token: string
  user: User
}

const KEY = 'session'
const USER = 'caller'
const NEXT = 'next'

/**
 * Take the credential out of the address, at once: `#tk=` a ticket, `#t=` an issuer's api_token, `/h5/sso?token=` a session (old pages).
 * Runs before the router reads the address.
 */
export function takeArrival(): Arrival {
  const words = new URLSearchParams(location.hash.slice(1))
  const ticket = words.get('tk') ?? words.get('ticket')
  const apiToken = words.get('t') ?? words.get('api_token')
  const isSso = /\/sso\/?$/.test(location.pathname)
  const session = isSso ? new URLSearchParams(location.search).get('token') : null
  if (!ticket && !apiToken && !session)
    return null
  const isHome = isSso || location.pathname === import.meta.env.BASE_URL
  const next = isHome ? takeNext() : location.pathname + location.search
  history.replaceState(null, '', next)
  if (ticket)
    return { kind: 'ticket', secret: ticket }
  return apiToken ? { kind: 'api_token', secret: apiToken } : { kind: 'session', secret: session ?? '' }
}

/** Where to go on after the sign-in, which leaves the page; only ever a place in this page. */
export function keepNext(path: string): void {
  sessionStorage.setItem(NEXT, path)
}

function takeNext(): string {
  const next = sessionStorage.getItem(NEXT) ?? ''
  sessionStorage.removeItem(NEXT)
  const base = import.meta.env.BASE_URL
  return next.startsWith(base) && !next.startsWith('//') ? next : base
}

function storedUser(): User | null {
  try {
    return JSON.parse(sessionStorage.getItem(USER) ?? 'null') as User | null
  }
  catch {
    return null
  }
}

export const useSessionStore = defineStore('session', () => {
  const token = ref(sessionStorage.getItem(KEY))
  const user = ref(storedUser())
  /** The server does not take the token any more; whoever is there may sign in again and go on. */
  const isExpired = ref(false)
  let ready: Promise<void> = Promise.resolve()

  const isIn = computed(() => token.value !== null)
  const isManager = computed(() => user.value?.role === 'manager' || user.value?.role === 'admin')
  /** Whose questions and drafts these are. */
  const owner = computed(() => user.value ? `${user.value.client_id}/${user.value.user_id}` : '')

  function keep(secret: string | null): void {
    token.value = secret
    isExpired.value = false
    if (secret)
      sessionStorage.setItem(KEY, secret)
    else
      sessionStorage.removeItem(KEY)
  }

  function know(who: User | null): void {
    user.value = who
    sessionStorage.setItem(USER, JSON.stringify(who))
  }

  async function enter(arrival: Arrival): Promise<void> {
    if (arrival && arrival.kind !== 'session') {
      // Until it is known who comes, nobody is here: what somebody else has left to send stays.
      keep(null)
      know(null)
      const login = await call<Login>('/auth/session', { method: 'POST', body: { [arrival.kind]: arrival.secret } })
      keep(login.session_token)
      know(login.user)
    }
    else if (arrival) {
      keep(arrival.secret)
      know(null)
    }
    if (token.value && !user.value)
      know({ role: 'user', ...await call<Omit<User, 'role'>>('/user/info') })
  }

  /** Begin to come in; `ready` tells how it went. */
  function start(arrival: Arrival): void {
    ready = enter(arrival)
    ready.catch(() => {})
  }

  async function leave(): Promise<void> {
    await call('/auth/session', { method: 'DELETE' }).catch(() => {})
    keep(null)
    know(null)
  }

  bindCaller({ token: () => token.value, language: () => language.value, expired: () => { isExpired.value = true } })

  return { token, user, owner, isIn, isManager, isExpired, start, leave, keep, whenReady: () => ready }
})
