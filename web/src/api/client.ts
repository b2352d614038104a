import type { paths } from './schema'
import { ApiError, isAborted, NetworkError, problemOf } from './errors'

/** What the client must know of who is there; the stores bind it, so that nothing here imports them. */
export interface Caller {
  token: () => string | null
  language: () => string
  /** The server does not know the token (any more). */
  expired: () => void
}

let caller: Caller = { token: () => null, language: () => 'zh', expired: () => {} }

export function bindCaller(given: Caller): void {
  caller = given
}

export interface Options {
  method?: string
  query?: object
  body?: unknown
  form?: FormData | URLSearchParams
  headers?: Record<string, string>
  signal?: AbortSignal
  /** Without saying who calls. */
  isAnonymous?: boolean
  /** Sent even when the page goes away. */
  keepalive?: boolean
}

export function addressOf(path: string, query: object = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null)
  const words = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return words ? `${path}?${words}` : path
}

/** Who calls, for what does not go through `request`: uploads that tell how far they are, pdf.js. */
export const callerHeaders = () => headersOf(caller.token())

function headersOf(token: string | null): Record<string, string> {
  return { 'Accept-Language': caller.language(), ...(token ? { Authorization: `Bearer ${token}` } : {}) }
}

/** The server does not take this token. Only what was sent with the token of now says anything about it. */
export function refused(token: string | null): void {
  if (token && token === caller.token())
    caller.expired()
}

/** One call. Raises ApiError when the server refuses, NetworkError when none answers, and the abort that was asked for. */
export async function request(path: string, options: Options = {}): Promise<Response> {
  const token = options.isAnonymous ? null : caller.token()
  const headers: Record<string, string> = { ...headersOf(token), ...options.headers }
  if (options.body !== undefined)
    headers['Content-Type'] = 'application/json'
  const init: RequestInit = { method: options.method ?? 'GET', headers, signal: options.signal ?? null, credentials: 'same-origin' }
  if (options.body !== undefined || options.form)
    init.body = options.form ?? JSON.stringify(options.body)
  if (options.keepalive)
    init.keepalive = true
  let response: Response
  try {
    response = await fetch(addressOf(path, options.query), init)
  }
  catch (error) {
    throw isAborted(error) ? error : new NetworkError(error)
  }
  if (response.ok)
    return response
  const problem = await problemOf(response)
  if (problem.status === 401)
    refused(token)
  throw problem
}

/** One call, and what is in its envelope. */
export async function call<T>(path: string, options: Options = {}): Promise<T> {
  const response = await request(path, options)
  try {
    return (await response.json() as { data: T }).data
  }
  catch (error) {
    if (isAborted(error))
      throw error
    throw error instanceof SyntaxError ? new ApiError(502, 'not_json', '') : new NetworkError(error)
  }
}

type Json<O> = O extends { content: { 'application/json': infer B } } ? B : never
type Answer<O> = O extends { responses: infer R } ? { [S in keyof R]: S extends 200 | 201 | 202 ? Json<R[S]> : never }[keyof R] : never
type Data<O> = Answer<O> extends { data: infer D } ? D : never
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : never
type Body<O> = O extends { requestBody?: infer R } ? Json<NonNullable<R>> : never
type With<M extends string> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths] & string

/** GET of a path in the API's description, typed by it. */
export function get<P extends With<'get'>>(path: P, query?: Query<paths[P]['get']>, signal?: AbortSignal): Promise<Data<paths[P]['get']>> {
  return call(path, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) })
}

/** POST of a path in the API's description, typed by it. */
export function post<P extends With<'post'>>(path: P, body: Body<paths[P]['post']>, options: Options = {}): Promise<Data<paths[P]['post']>> {
  return call(path, { ...options, method: 'POST', body })
}
