import type { Answer, AnswerState, Check, Outcome, Place, Source } from '@/api/answers'
import type { Stage } from '@/api/events'
import type { Letter } from '@/storage/outbox'

/** One question with its answer, as the page shows it. */
export interface ChatMessage {
  id: string
  query: string
  text: string
  /** queued: not with the server yet. */
  state: 'queued' | AnswerState
  stage: { name: Stage, count: number } | null
  /** Queued, and what it waits for is told: a login, or a server that takes it. */
  hold: '' | 'login' | 'server'
  /** Queued and offline, or the connection to a running answer is being tried again. */
  isLost: boolean
  sources: Source[]
  outcome: Outcome | null
  checks: Check[]
  nearest: Place[]
  followUps: string[]
  score: number | null
  /** What went wrong, in the reader's language. */
  problem: string
  createdAt: string
  /** The server has it: asked again, it is answered in place. */
  isStored: boolean
  /** Passages that an older answer was given with; their places are asked for when they are shown. */
  hasMore: boolean
}

/** A row of /history/latest; newer servers give the answer's other parts along. */
export interface HistoryRow extends Partial<Pick<Answer, 'sources' | 'outcome' | 'checks' | 'nearest' | 'follow_ups'>> {
  id: string
  query: string
  response: string
  docs: string[]
  create_time: string
  state: string
  error_code: string | null
  feedback_score: number | null
}

const EMPTY = { text: '', stage: null, hold: '' as const, isLost: false, sources: [], outcome: null, checks: [], nearest: [], followUps: [], score: null, problem: '', isStored: false, hasMore: false }

export function fromLetter(letter: Letter): ChatMessage {
  return { ...EMPTY, id: letter.message_id, query: letter.question.query, state: 'queued', createdAt: new Date(letter.written_at).toISOString() }
}

export function fromRow(row: HistoryRow): ChatMessage {
  const state = row.state === 'writing' || row.state === 'failed' || row.state === 'cut' ? row.state : 'done'
  return {
    ...EMPTY,
    id: row.id,
    query: row.query,
    text: row.response,
    state,
    sources: row.sources ?? [],
    outcome: row.outcome ?? null,
    checks: row.checks ?? [],
    nearest: row.nearest ?? [],
    followUps: row.follow_ups ?? [],
    score: row.feedback_score,
    createdAt: row.create_time,
    isStored: true,
    hasMore: row.sources === undefined && state !== 'writing',
  }
}

export const isBusy = (message: ChatMessage) => message.state === 'queued' || message.state === 'writing'
