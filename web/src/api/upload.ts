import { callerHeaders, refused } from './client'
import { NetworkError, problemOf } from './errors'

/** Send files. `fetch` tells nobody how much of them has left, so this is the older way. Raises what `request` raises. */
export function upload<T>(path: string, form: FormData, onProgress: (percent: number) => void, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest()
    const headers = callerHeaders()
    const token = headers.Authorization?.replace('Bearer ', '') ?? null
    const cancel = () => call.abort()
    call.open('POST', path)
    Object.entries(headers).forEach(([name, value]) => call.setRequestHeader(name, value))
    call.upload.onprogress = event => event.lengthComputable && onProgress(Math.floor(100 * event.loaded / event.total))
    call.onerror = () => reject(new NetworkError())
    call.onabort = () => reject(new DOMException('aborted', 'AbortError'))
    call.onloadend = () => signal.removeEventListener('abort', cancel)
    call.onload = () => {
      if (call.status < 400)
        return resolve((JSON.parse(call.responseText) as { data: T }).data)
      if (call.status === 401)
        refused(token)
      const after = call.getResponseHeader('retry-after')
      problemOf(new Response(call.responseText, { status: call.status, headers: after ? { 'retry-after': after } : {} })).then(reject, reject)
    }
    signal.addEventListener('abort', cancel)
    call.send(form)
  })
}
