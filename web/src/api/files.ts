import type { Source } from './answers'
import { addressOf, request } from './client'

/** Where the bytes of a file are; they are had with the caller's credential only. */
export interface FileRef {
  name: string
  address: string
  /** Where what was read of it can be had, for kinds that no browser shows. */
  passages?: string
}

export type FileKind = 'pdf' | 'image' | 'markdown' | 'table' | 'text' | 'other'

const KINDS: [FileKind, RegExp][] = [
  ['pdf', /\.pdf$/i],
  ['image', /\.(?:png|jpe?g|gif|webp|bmp)$/i],
  ['markdown', /\.md$/i],
  ['table', /\.[ct]sv$/i],
  ['text', /\.(?:txt|log|jsonl?|eml)$/i],
]

export const kindOf = (name: string): FileKind => KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? 'other'

export function inBase(base: string, name: string): FileRef {
  const query = { knowledge_base_name: base, file_name: name }
  return { name, address: addressOf('/knowledge_base/download_doc', query), passages: addressOf('/knowledge_base/passages', query) }
}

export function inSession(sessionId: string, documentId: string, name: string): FileRef {
  const query = { session_id: sessionId, document_id: documentId }
  return { name, address: addressOf('/session/files/content', query), passages: addressOf('/session/files/passages', query) }
}

/** The file that a passage is from; none for a page of the web. */
export function fileOf(source: Source, sessionId: string): FileRef | null {
  if (!source.file_name)
    return null
  if (source.attached && source.document_id)
    return inSession(sessionId, source.document_id, source.file_name)
  return source.kb_name ? inBase(source.kb_name, source.file_name) : null
}

// What is longer is looked at as a download: no phone shows it in good time.
const MOST_TEXT = 2_000_000

/** A file's text; the server says in which encoding it is. Null: too long to be shown. */
export async function readText(file: FileRef, signal: AbortSignal): Promise<string | null> {
  const response = await request(`${file.address}&preview=true`, { signal })
  if (Number(response.headers.get('content-length') ?? 0) > MOST_TEXT)
    return null
  const charset = /charset=([\w-]+)/.exec(response.headers.get('content-type') ?? '')?.[1] ?? 'utf-8'
  return new TextDecoder(charset).decode(await response.arrayBuffer())
}

/** The bytes as a picture that the policy of the page lets be seen. */
export async function readBlob(file: FileRef, signal?: AbortSignal): Promise<Blob> {
  return (await request(file.address, signal ? { signal } : {})).blob()
}
