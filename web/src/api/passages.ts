import type { Source } from './answers'
import { call } from './client'

/** What an answer's `[n]` points to, as it is today. */
export interface Passage extends Source {
  /** [start, end) of what of `text` the answer quotes, in code points. */
  quote: [number, number][]
  before: string | null
  after: string | null
  media_type: string | null
  /** Deleted since; `text` is what was shown. */
  is_gone: boolean
}

export function readPassage(messageId: string, number: number, signal: AbortSignal) {
  return call<Passage>(`/chat/answers/${encodeURIComponent(messageId)}/sources/${number}`, { signal })
}
