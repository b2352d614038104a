import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Found = Schemas['FoundOut']
export type Explanation = Schemas['ExplanationOut']
export type Wanted = Schemas['ExplainSearch']
export type Why = Schemas['WhyOut']

/** What is kept of a search, with an answer and in a hit test. */
export interface Trace {
  kbs?: Record<string, number>
  question?: string
  milliseconds?: Record<string, number>
  style?: { words: number, fusion: string }
  /** The question's words, and how many passages have each. */
  terms?: [string, number][]
  /** Which reranker there was, and what became of it: done, or why not. */
  rerank?: { name: string, outcome: string, candidates: number }
  candidates?: TraceCandidate[]
}

export interface Fared {
  outcome: string
  rank: number | null
  fused: number
  score: number
  vector_rank: number | null
  words: number
  word_rank: number | null
  rerank?: number | null
  rerank_rank?: number | null
}

export interface TraceCandidate extends Fared { chunk: number }

/** Squared distance of unit vectors, as people think of it. */
export const likeness = (distance: number) => `${Math.round(100 * (1 - distance / 2))}%`

export const percent = (share: number) => `${Math.round(100 * share)}%`

const OUTCOMES = new Set(['hit', 'threshold', 'duplicate', 'rank', 'filter', 'depth', 'gone'])

export const outcomeKey = (outcome: string) => `search.outcome.${OUTCOMES.has(outcome) ? outcome : 'other'}`
