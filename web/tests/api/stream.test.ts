import type { AnswerEvent } from '@/api/events'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { follow } from '@/api/stream'

const frame = (event: string, data: object, id?: number | string) => `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
const FINISHED = frame('finished', { message_id: 'm' })

/** A connection that gives these pieces and then ends, or breaks. */
function connection(pieces: string[], broken = false): Response {
  const bytes = new TextEncoder().encode(pieces.join(''))
  let at = 0
  return new Response(new ReadableStream({
    pull(controller) {
      if (at < bytes.length)
        return controller.enqueue(bytes.slice(at, at += 5))
      broken ? controller.error(new TypeError('Load failed')) : controller.close()
    },
  }))
}

function network(...answers: (Response | Error)[]) {
  const fetch = vi.fn<(path: string, init: RequestInit) => Promise<Response>>(async () => {
    const answer = answers.shift() ?? new Error('too many connections')
    if (answer instanceof Error)
      throw answer
    return answer
  })
  vi.stubGlobal('fetch', fetch)
  return fetch
}

const lastIds = (fetch: ReturnType<typeof network>) => fetch.mock.calls.map(([, init]) => (init.headers as Record<string, string>)['Last-Event-ID'])

async function read(after = 0): Promise<{ text: string, names: string[] }> {
  let text = ''
  const names: string[] = []
  const onEvent = (event: AnswerEvent) => {
    names.push(event.event)
    if (event.event === 'delta')
      text += event.data.text
    if (event.event === 'replace')
      text = event.data.text
  }
  await follow({ messageId: 'm', after, signal: new AbortController().signal, onEvent })
  return { text, names }
}

describe('an answer that is followed', () => {
  beforeEach(() => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
  })

  it('comes in frames that are cut anywhere, also inside a character', async () => {
    network(connection([frame('delta', { text: '年假' }, 2), frame('delta', { text: '十五天🙂' }, 6), FINISHED]))
    expect((await read()).text).toBe('年假十五天🙂')
  })

  it('goes on after a broken connection from where it was', async () => {
    const fetch = network(
      connection([frame('delta', { text: '年假🙂' }, 3)], true),
      new TypeError('Failed to fetch'),
      connection([frame('started', { message_id: 'm' }), frame('delta', { text: '十五天' }, 6), FINISHED]),
    )
    expect((await read()).text).toBe('年假🙂十五天')
    expect(lastIds(fetch)).toEqual([undefined, '3', '3'])
  })

  it('drops what comes twice, and asks again for what is missing', async () => {
    const fetch = network(
      connection([frame('delta', { text: 'abc' }, 3), frame('delta', { text: 'bcd' }, 4), frame('delta', { text: 'xyz' }, 9)]),
      connection([frame('delta', { text: 'efg' }, 7), FINISHED]),
    )
    expect((await read()).text).toBe('abcdefg')
    expect(lastIds(fetch)).toEqual([undefined, '4'])
  })

  it('comes back when the stream ends without an end', async () => {
    const fetch = network(connection([frame('delta', { text: 'a' }, 1)]), connection([FINISHED]))
    await read()
    expect(fetch).toHaveBeenCalledTimes(2)
  })

  it('waits out a server that is busy, and gives up on one that refuses', async () => {
    network(Response.json({}, { status: 503 }), connection([FINISHED]))
    expect((await read()).names).toEqual(['finished'])
    network(Response.json({ msg: 'no such message' }, { status: 404 }))
    await expect(read()).rejects.toMatchObject({ status: 404, message: 'no such message' })
  })

  it('begins at the text that is replaced', async () => {
    const fetch = network(connection([frame('delta', { text: 'draft' }, 5), frame('replace', { text: 'final' }, '5.1')], true), connection([frame('delta', { text: '!' }, '6.1'), FINISHED]))
    expect((await read()).text).toBe('final!')
    expect(lastIds(fetch)).toEqual([undefined, '5.1'])
  })
})

it('a dead connection is given up when the page is seen again', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const hanging = (_path: string, init: RequestInit) => new Promise<Response>((_resolve, reject) => {
    init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
  })
  const fetch = vi.fn(hanging).mockImplementationOnce(hanging).mockImplementationOnce(async () => connection([FINISHED]))
  vi.stubGlobal('fetch', fetch)
  const see = (state: 'hidden' | 'visible') => {
    vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state)
    document.dispatchEvent(new Event('visibilitychange'))
  }
  const reading = read()
  await vi.waitFor(() => expect(fetch).toHaveBeenCalledTimes(1))
  const now = Date.now()
  see('hidden')
  vi.spyOn(Date, 'now').mockReturnValue(now + 60_000)
  see('visible')
  expect((await reading).names).toEqual(['finished'])
})
