import type { AnswerEvent } from './events'
import { NetworkError } from './errors'

const lengthOf = (text: string) => [...text].length

/** Brings the pieces into one text: what comes twice is dropped, what is missing is asked for again. */
export class Position {
  /** What the server calls this place: `120`, or `120.2` in a text that was begun anew. */
  id: string

  constructor(public at: number) {
    this.id = at > 0 ? String(at) : ''
  }

  take(event: AnswerEvent, id: string | undefined): AnswerEvent | null {
    if (event.event === 'replace') {
      this.at = lengthOf(event.data.text)
      this.id = id ?? String(this.at)
      return event
    }
    if (event.event !== 'delta')
      return event
    const end = Number.parseInt(id ?? '', 10)
    const length = lengthOf(event.data.text)
    const start = Number.isNaN(end) ? this.at : end - length
    if (start > this.at)
      throw new NetworkError('a piece is missing')
    const known = this.at - start
    if (known >= length)
      return null
    this.at = start + length
    this.id = id ?? String(this.at)
    return known === 0 ? event : { event: 'delta', data: { text: [...event.data.text].slice(known).join('') } }
  }
}
