import type { Cut, Method } from '@/api/chunks'
import type { KnowledgeBase } from '@/stores/knowledge'
import { METHODS } from '@/api/chunks'

type Field = Exclude<keyof Cut, 'chunk_method'>

/** What there is to say of each way of cutting. */
export const USED: Record<Method, Field[]> = {
  recursive: ['chunk_size', 'chunk_overlap', 'zh_title_enhance'],
  heading: ['chunk_size', 'chunk_overlap', 'zh_title_enhance'],
  row: ['chunk_size'],
  qa: [],
  parent_child: ['parent_size', 'chunk_size', 'chunk_overlap', 'zh_title_enhance'],
  whole: [],
}

/** What is sent: what the way heeds, and nothing of the rest. */
export function cutFields(cut: Cut): Partial<Cut> {
  return Object.fromEntries([['chunk_method', cut.chunk_method], ...USED[cut.chunk_method].map(name => [name, cut[name]])]) as Partial<Cut>
}

const isMethod = (value: unknown): value is Method => METHODS.includes(value as Method)

/** As a knowledge base, or a document, says that it cuts. */
export function cutOf(told: Partial<Record<keyof Cut, unknown>> & Partial<KnowledgeBase> | undefined): Cut {
  return {
    chunk_method: isMethod(told?.chunk_method) ? told.chunk_method : 'recursive',
    chunk_size: Number(told?.chunk_size ?? 500),
    chunk_overlap: Number(told?.chunk_overlap ?? 50),
    zh_title_enhance: Boolean(told?.zh_title_enhance),
    parent_size: Number(told?.parent_size ?? 1500),
  }
}

/** A section is meant to stay whole: what is long for running text is short for it. */
const SECTION = 1000

/** Another way, with a length that is usual for it where nobody chose one. */
export function cutBy(method: Method, cut: Cut, usual: Cut): Cut {
  const isAsUsual = cut.chunk_size === usual.chunk_size || cut.chunk_size === SECTION
  const size = method === 'heading' ? Math.max(SECTION, usual.chunk_size) : usual.chunk_size
  return { ...cut, chunk_method: method, ...(isAsUsual ? { chunk_size: size } : {}) }
}

/** What does not fit together, by the name of its words. */
export function cutProblem(cut: Cut): 'overlap' | 'parent' | 'size' | null {
  const used = USED[cut.chunk_method]
  if (used.includes('chunk_size') && !(cut.chunk_size >= 20 && cut.chunk_size <= 8000))
    return 'size'
  if (used.includes('chunk_overlap') && !(cut.chunk_overlap >= 0 && cut.chunk_overlap < cut.chunk_size))
    return 'overlap'
  return used.includes('parent_size') && !(cut.parent_size > cut.chunk_size) ? 'parent' : null
}
