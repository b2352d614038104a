import type { components } from './schema'
import { call, get, post } from './client'

type Schemas = components['schemas']

/** Ways of cutting a file into passages. */
export const METHODS = ['recursive', 'heading', 'row', 'qa', 'parent_child', 'whole'] as const
export type Method = typeof METHODS[number]

export interface Cut {
  chunk_method: Method
  chunk_size: number
  chunk_overlap: number
  zh_title_enhance: boolean
  /** Of the passages that are read, where the small ones are only matched: parent_child. */
  parent_size: number
}

/** Where in its file something stands: page, sheet, heading. */
export type Anchor = Record<string, unknown>
export type CutPreview = Schemas['PreviewOut']
export type Chunk = Schemas['ChunkOut']

/** How a file would be cut; nothing of it is kept. A file that is there is named. */
export function previewChunks(base: string, file: File | string, fields: object, limit: number, signal: AbortSignal): Promise<CutPreview> {
  const form = new FormData()
  form.append('knowledge_base_name', base)
  Object.entries({ ...fields, limit }).forEach(([name, value]) => form.append(name, String(value)))
  form.append(typeof file === 'string' ? 'file_name' : 'file', file)
  return call('/knowledge_base/preview_chunks', { method: 'POST', form, signal })
}

/** What is left out stays; an empty question is none. */
export interface Wording { text?: string, question?: string, enabled?: boolean }

const SIZE = 50

export function listChunks(base: string, file: string, query: string, page: number, signal: AbortSignal) {
  return get('/knowledge_base/chunks', { knowledge_base_name: base, file_name: file, ...(query ? { query } : {}), page, page_size: SIZE }, signal)
}
export function updateChunk(base: string, chunk: number, changes: Wording) {
  return post('/knowledge_base/update_chunk', { knowledge_base_name: base, chunk_id: chunk, ...changes })
}
export function addChunk(base: string, file: string, wording: Wording & { text: string }, after: number | null) {
  return post('/knowledge_base/add_chunk', { knowledge_base_name: base, file_name: file, ...wording, ...(after === null ? {} : { after_chunk_id: after }) })
}
export function deleteChunk(base: string, chunk: number) {
  return post('/knowledge_base/delete_chunk', { knowledge_base_name: base, chunk_id: chunk })
}
