import type { FileRef } from './files'
import { call } from './client'

/** A passage of a file as the server understood it, without what the one before it ends with. */
export interface ReadPassage {
  chunk_id: number
  text: string
  anchor: Record<string, unknown>
}

export interface ReadPage {
  items: ReadPassage[]
  total: number
  page: number
  page_size: number
}

const SIZE = 100

/** A page of what was read of a file; `near`: the one with this passage. */
export function readPassages(file: FileRef, where: { page?: number, near?: number }, signal: AbortSignal): Promise<ReadPage> {
  return call<ReadPage>(`${file.passages}&${new URLSearchParams(Object.entries({ page_size: SIZE, ...where }).map(([name, value]) => [name, String(value)])).toString()}`, { signal })
}
