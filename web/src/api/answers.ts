import { call } from './client'

// Answers that outlive their reader. Their events: stream.ts.

export type Mode = 'llm_chat' | 'knowledge_base_chat' | 'search_engine_chat' | 'agent_chat'
export type AnswerState = 'writing' | 'done' | 'failed' | 'cut'
export type Outcome = 'answered' | 'partly' | 'not_found'

/** A passage that was found for a question, or a page of the web (`title`, `url`). */
export interface Source {
  number: number
  text: string
  document_id?: string | null
  chunk_id?: number | null
  file_name?: string | null
  place?: string | null
  anchor?: Record<string, unknown> | null
  kb_name?: string | null
  /** A file of the conversation. */
  attached?: boolean
  title?: string | null
  url?: string | null
}

/** A sentence that cites: [start, end) of the answer's text, in code points, and what its sources lack. */
export interface Check {
  start: number
  end: number
  numbers: number[]
  verified: boolean
  /** `language`: they are in another one, so nothing can be said. */
  reason: 'number' | 'name' | 'overlap' | 'language' | null
}

/** Where to look, when nothing was near enough to be a source. */
export interface Place {
  file_name: string
  place: string
}

export interface Question {
  /** 32 hexadecimal characters made here: the idempotency key. */
  message_id: string
  mode: Mode
  query: string
  session_id: string
  /** False: should it be gone, it does not come back. */
  session_is_new?: boolean
  knowledge_base_name?: string
  /** Looked in too; `*`: in all that the reader sees. */
  other_knowledge_bases?: string[]
  model_name?: string
  prompt_name?: string
  temperature?: number
  max_tokens?: number
  history_count?: number
  top_k?: number
  score_threshold?: number
  regenerate?: boolean
}

export interface Answer {
  message_id: string
  session_id: string
  query: string
  response: string
  state: AnswerState
  outcome: Outcome | null
  error_code: string | null
  sources: Source[]
  checks: Check[]
  nearest: Place[]
  follow_ups: string[]
  feedback_score: number | null
  create_time: string
}

export interface Accepted {
  message_id: string
  state: AnswerState
}

const at = (messageId: string) => `/chat/answers/${encodeURIComponent(messageId)}`

export const ask = (question: Question) => call<Accepted>('/chat/answers', { method: 'POST', body: question })

export const stop = (messageId: string) => call<unknown>(`${at(messageId)}/stop`, { method: 'POST' })

export const read = (messageId: string, signal?: AbortSignal) => call<Answer>(at(messageId), signal ? { signal } : {})

export const eventsPath = (messageId: string) => `${at(messageId)}/events`
