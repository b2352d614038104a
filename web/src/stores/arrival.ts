/** How people come to this page, and where they go on to. */

/** What somebody brought along in the address; see `takeArrival`. */
export type Arrival = { kind: 'ticket' | 'api_token' | 'session', secret: string } | null

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

/** Where to go on after the sign-in, which leaves the page; only ever a place in this page, and none that is a way in. */
export function keepNext(path: string): void {
  if (!/^[^?#]*\/(?:401|sso)\/?(?:[?#]|$)/.test(path))
    sessionStorage.setItem(NEXT, path)
}

function takeNext(): string {
  const next = sessionStorage.getItem(NEXT) ?? ''
  sessionStorage.removeItem(NEXT)
  const base = import.meta.env.BASE_URL
  return next.startsWith(base) && !next.startsWith('//') ? next : base
}

/** Go where a sign-on leads: the page begins anew there, also where nothing but the fragment differs. */
export function goTo(address: string): void {
  const url = new URL(address, location.href)
  if (url.origin + url.pathname + url.search !== location.origin + location.pathname + location.search)
    return location.assign(url)
  history.replaceState(null, '', url)
  location.reload()
}

/** What the server said when it turned somebody away; any link can put words behind `?message=`, but no cookie beside them. */
export function refusalWords(message: unknown): string {
  const said = document.cookie.split('; ').find(part => part.startsWith('c2l_refusal='))?.slice('c2l_refusal='.length).replace(/^"|"$/g, '')
  return typeof message === 'string' && message !== '' && said === encode(message) ? message : ''
}

/** As the server writes it: Python's `quote`. */
const encode = (words: string) => encodeURIComponent(words).replace(/[!'()*]/g, sign => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`).replace(/%2F/g, '/')
