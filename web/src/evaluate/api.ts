import type { components } from '@/api/schema'
import { call, get, post } from '@/api/client'
import { upload } from '@/api/upload'

type Schemas = components['schemas']
export type QuestionSet = Schemas['SetOut']
export type Gold = Schemas['server__evaluation__schemas__QuestionOut']
export type NewGold = Schemas['server__evaluation__schemas__SaveQuestion']
export type Rated = Schemas['RatedOut']
export type Imported = Schemas['ImportOut']
export type Progress = Schemas['Progress']
export type NewRun = Schemas['StartRun']
export type Comparison = Omit<Schemas['ComparisonOut'], 'base' | 'other' | 'values' | 'decisions' | 'better' | 'worse'> & {
  base: Run
  other: Run
  values: Record<string, { base: Estimate, other: Estimate, difference: Estimate & { p: number } }>
  decisions: Record<string, { base: Estimate, other: Estimate, mcnemar: { gained: number, lost: number, p: number } }>
  better: Changed[]
  worse: Changed[]
}

export interface Estimate { value: number, low: number, high: number, n: number }
export interface Changed { question_id: number, question: string, base: Fate, other: Fate }
interface Fate { ranks: (number | null)[], outcome: string | null, contains_gold: boolean | null }

export type Run = Omit<Schemas['RunOut'], 'values' | 'summary'> & {
  values: Record<string, Estimate>
  summary: { questions: number, ranked: number, failed: number, rank_counts: number[], milliseconds: Record<string, { p50: number, p95: number }>, moved?: boolean } | null
}

export type Result = Omit<Schemas['ResultOut'], 'asked' | 'lost'> & {
  asked: { question: string, gold_files?: string[], gold_passage?: string | null }
  lost: { outcome: string, rank?: number | null } | null
}

const AT = '/knowledge_base/evaluation'
const at = (run: string) => `${AT}/runs/${encodeURIComponent(run)}`

export const listSets = (base: string) => get(`${AT}/sets`, { knowledge_base_name: base })
export const createSet = (base: string, name: string) => post(`${AT}/sets`, { knowledge_base_name: base, name })
export const renameSet = (set: string, name: string) => post(`${AT}/sets/rename`, { set_id: set, name })
export const deleteSet = (set: string) => post(`${AT}/sets/delete`, { set_id: set })

export const listGold = (set: string, q: string, page: number) => get(`${AT}/questions`, { set_id: set, q, page, page_size: 50 })
export const saveGold = (gold: NewGold) => post(`${AT}/questions`, gold)
export const deleteGold = (set: string, id: number) => post(`${AT}/questions/delete`, { set_id: set, question_ids: [id] })
export const listRated = (set: string, rating: 'liked' | 'disliked') => get(`${AT}/rated_answers`, { set_id: set, rating, page: 1, page_size: 50 })
export const takeAnswer = (set: string, message: string) => post(`${AT}/questions/from_answer`, { set_id: set, message_id: message })
export const takeHit = (set: string, question: string, chunk: number) => post(`${AT}/questions/from_hit`, { set_id: set, question, chunk_id: chunk })
export const exportOf = (set: string) => `${AT}/export?set_id=${encodeURIComponent(set)}`

export function importCsv(set: string, file: File): Promise<Imported> {
  const form = new FormData()
  form.append('set_id', set)
  form.append('file', file)
  return upload(`${AT}/import`, form, () => {}, new AbortController().signal)
}

export const listRuns = (set: string) => get(`${AT}/runs`, { set_id: set, page: 1, page_size: 50 })
export const startRun = (run: Partial<NewRun> & { set_id: string }) => call<Progress>(`${AT}/runs`, { method: 'POST', body: run })
export const readRun = (run: string) => call<Run>(at(run))
/** The worst first. */
export const readResults = (run: string, page: number) => call<{ items: Result[], total: number }>(`${at(run)}/results`, { query: { order: 'worst', page, page_size: 50 } })
export const cancelRun = (run: string) => call<Progress>(`${at(run)}/cancel`, { method: 'POST', body: {} })
export const deleteRun = (run: string) => call<null>(`${at(run)}/delete`, { method: 'POST', body: {} })
export const reportOf = (run: string, base = '') => `${at(run)}/report${base ? `?base=${encodeURIComponent(base)}` : ''}`
export const compare = (base: string, other: string) => call<Comparison>(`${AT}/compare`, { query: { base, other } })

/** There is something to look at: the results of one that was cancelled stay. */
export const hasResults = (run: { state: string, done: number }) => run.state === 'done' || (!isRunning(run) && run.done > 0)

export const isRunning = (run: { state: string }) => run.state === 'queued' || run.state === 'running'
