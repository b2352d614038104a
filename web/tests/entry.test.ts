import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import SignInForm from '@/components/SignInForm.vue'
import { i18n, setLanguage } from '@/i18n'
import EntryPage from '@/pages/EntryPage.vue'
import { makeRouter } from '@/router'
import { keepNext, takeArrival } from '@/stores/arrival'
import { useSessionStore } from '@/stores/session'
import { ok, plugins, refuse, serve, signIn } from './support'

const USER = { client_id: 'c', user_id: 'u', username: 'Ann', role: 'manager' }
const at = (path: string) => history.replaceState(null, '', path)
const here = () => location.pathname + location.search + location.hash

async function shown(router: ReturnType<typeof makeRouter>): Promise<string> {
  await setLanguage('en')
  const wrapper = mount(EntryPage, { global: { plugins: [i18n, router] } })
  return wrapper.get('.words').text()
}

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

  it('never leads to a way in', () => {
    for (const path of ['/h5/401?message=x', '/h5/sso', '/h5/sso/?token=x']) {
      keepNext(path)
      at('/h5/#tk=tk_1')
      takeArrival()
      expect(here()).toBe('/h5/')
    }
  })

  it('says what the server said, and not what anybody wrote into a link', async () => {
    const router = makeRouter()
    const words = 'no (really), 100% / 不行'
    await router.push({ name: 'refused', query: { message: words } })
    expect(await shown(router)).not.toContain('really')
    // What Python's `quote` makes of it.
    document.cookie = 'c2l_refusal=no%20%28really%29%2C%20100%25%20/%20%E4%B8%8D%E8%A1%8C'
    expect(await shown(router)).toContain(words)
    document.cookie = 'c2l_refusal=; max-age=0'
  })

  it('tells whoever a link made another person of', async () => {
    signIn('u1')
    const session = useSessionStore()
    for (const [user, isOther] of [['u1', false], ['u2', true]] as const) {
      serve({ 'POST /auth/session': () => ok({ session_token: 'st', user: { ...USER, user_id: user } }) })
      session.start({ kind: 'ticket', secret: 'tk_1' })
      await session.whenReady()
      expect(session.isOther).toBe(isOther)
    }
  })

  it('asks for the passphrase without leaving the page, and keeps where it was to lead', async () => {
    const bodies: string[] = []
    vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
      if (path.endsWith('switches.json'))
        return Response.json({ demo: true })
      bodies.push(`${path} ${String(init.body)} ${JSON.stringify(init.headers)}`)
      return bodies.length === 1 ? refuse(401) : ok({ location: '/elsewhere/#tk=tk_1' })
    })
    signIn()
    sessionStorage.setItem('caller', JSON.stringify({ ...USER, client_id: '0' }))
    setActivePinia(createPinia())
    keepNext('/h5/chat/1')
    const assign = vi.fn()
    vi.stubGlobal('location', { ...location, href: 'http://localhost/h5/', assign })
    const wrapper = mount(SignInForm, { global: { plugins: [...await plugins()] } })
    await flushPromises()
    await wrapper.get('#passphrase').setValue('guess')
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(wrapper.get('[role=alert]').text()).toContain('not the passphrase')
    expect(bodies[0]).toContain('/sso client=0&secret=guess')
    expect(bodies[0]).not.toContain('Bearer')
    await wrapper.get('form').trigger('submit')
    await flushPromises()
    expect(String(assign.mock.calls[0]?.[0])).toBe('http://localhost/elsewhere/#tk=tk_1')
    expect(sessionStorage.getItem('next')).toBe('/h5/chat/1')
    expect(useSessionStore().isExpired).toBe(false)
  })

  it('asks nobody of another system for the demo\'s passphrase', async () => {
    signIn()
    serve({ 'GET /h5/switches.json': () => Response.json({ demo: true }) })
    const wrapper = mount(SignInForm, { global: { plugins: [...await plugins()] } })
    await flushPromises()
    expect(wrapper.find('#passphrase').exists()).toBe(false)
    expect(wrapper.text()).toContain('from your own system')
  })

  it('shows why a ticket was refused, and asks no page of who is not in', async () => {
    at('/h5/')
    serve({ 'POST /auth/session': () => refuse(401, 'used before') })
    useSessionStore().start({ kind: 'ticket', secret: 'tk_1' })
    const router = makeRouter()
    await router.push('/sessions')
    expect(router.currentRoute.value.name).toBe('refused')
    expect(await shown(router)).toContain('not valid, was used before or has expired')
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
