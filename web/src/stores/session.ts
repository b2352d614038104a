import type { Arrival } from './arrival'
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { bindCaller, call } from '@/api/client'
import { language } from '@/i18n/language'
import { forgetDrafts } from '@/storage/drafts'
import { dropLettersOf } from '@/storage/outbox'

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
/** Who was here last: somebody else who comes by a link is told so. */
const LAST = 'last'

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
  /** Why whoever came was not let in. */
  const refusal = ref<unknown>(null)
  /** Somebody else was here before, in this very tab: whoever made a link may have sent them. */
  const isOther = ref(false)
  let ready: Promise<void> = Promise.resolve()

  const isIn = computed(() => token.value !== null)
  const isManager = computed(() => user.value?.role === 'manager' || user.value?.role === 'admin')
  /** Whose questions and drafts these are. */
  const owner = computed(() => user.value ? `${user.value.client_id}/${user.value.user_id}` : '')
  if (owner.value)
    sessionStorage.setItem(LAST, owner.value)

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
    if (!who)
      return
    const last = sessionStorage.getItem(LAST)
    isOther.value = last !== null && last !== owner.value
    sessionStorage.setItem(LAST, owner.value)
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
    refusal.value = null
    ready = enter(arrival)
    ready.catch((error: unknown) => { refusal.value = error })
  }

  /** What this person wrote and did not send leaves with them: the next one on this device is somebody else. */
  async function leave(): Promise<void> {
    forgetDrafts(owner.value)
    await dropLettersOf(owner.value)
    await call('/auth/session', { method: 'DELETE' }).catch(() => {})
    keep(null)
    know(null)
    sessionStorage.removeItem(LAST)
  }

  bindCaller({ token: () => token.value, language: () => language.value, expired: () => { isExpired.value = true } })

  return { token, user, owner, isIn, isManager, isExpired, isOther, refusal, start, leave, keep, whenReady: () => ready }
})
