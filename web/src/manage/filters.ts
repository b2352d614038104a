import type { Kind } from './labels'
import type { components } from '@/api/schema'
import { valueOf } from './labels'

export type Filters = components['schemas']['FiltersIn']

/** What a hit test asks of documents, as it is written. */
export interface Wanted {
  type: string
  tags: string[]
  since: string
  until: string
  /** Of numbers and dates, from `value` to `high`; one of the two may be left out. */
  property: { name: string, kind: Kind, value: string, high: string }
}

export const noFilters = (): Wanted => ({ type: '', tags: [], since: '', until: '', property: { name: '', kind: 'text', value: '', high: '' } })

export const hasRange = (kind: Kind) => kind === 'number' || kind === 'date'

function propertyOf({ name, kind, value, high }: Wanted['property']): Filters['properties'] {
  const [low, most] = [valueOf({ kind, value }), hasRange(kind) ? valueOf({ kind, value: high }) : undefined]
  if (!name.trim() || (low === undefined && most === undefined))
    return undefined
  if (!hasRange(kind))
    return { [name.trim()]: low! }
  const range = { ...(low === undefined ? {} : { min: low as string | number }), ...(most === undefined ? {} : { max: most as string | number }) }
  return { [name.trim()]: range }
}

/** The same for the server; undefined where nothing is asked. Days are the reader's own. */
export function filtersOf(wanted: Wanted): Filters | undefined {
  const properties = propertyOf(wanted.property)
  const filters: Filters = {
    ...(wanted.type ? { types: [wanted.type.replace(/^\./, '')] } : {}),
    ...(wanted.tags.length ? { tags: wanted.tags } : {}),
    ...(wanted.since ? { since: new Date(`${wanted.since}T00:00:00`).toISOString() } : {}),
    ...(wanted.until ? { until: new Date(`${wanted.until}T23:59:59.999`).toISOString() } : {}),
    ...(properties ? { properties } : {}),
  }
  return Object.keys(filters).length ? filters : undefined
}

/** How many things are asked. */
export const countOf = (filters: Filters | undefined) => Object.keys(filters ?? {}).length
