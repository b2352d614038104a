import type { components } from './schema'
import { addressOf, call, get, post } from './client'

export type Job = components['schemas']['JobOut']
export type JobFilter = '' | 'open' | 'failed' | 'done'

export const isOpen = (job: Pick<Job, 'state'>) => job.state === 'waiting' || job.state === 'running'

const at = (job: string) => `/jobs/${encodeURIComponent(job)}`

export function listJobs(base: string, state: JobFilter, page = 1, size = 50) {
  return get('/jobs', { knowledge_base_name: base, ...(state ? { state } : {}), page, page_size: size })
}
export const jobEvents = (base: string) => addressOf('/jobs/events', { knowledge_base_name: base })
export const cancelJob = (job: string) => call<Job>(`${at(job)}/cancel`, { method: 'POST', body: {} })
export const retryJob = (job: string) => call<Job>(`${at(job)}/retry`, { method: 'POST', body: {} })
/** All of a knowledge base that could not be read; `left`: how many did not fit. */
export const retryFailed = (base: string) => post('/jobs/retry', { knowledge_base_name: base })
