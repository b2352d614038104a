import type { components } from '@/api/schema'
import { newId } from '@/ids'

// What people say of a document: tags, properties, who may see it.
type Said = Required<Pick<components['schemas']['UpdateDocument'], 'tags' | 'properties' | 'visible_to'>>
export type Kind = 'text' | 'number' | 'date' | 'bool'
export const KINDS: Kind[] = ['text', 'number', 'date', 'bool']

/** A property as it is written; `key` tells the lines of a form apart. */
export interface Property { key: string, name: string, kind: Kind, value: string }

export interface Labels {
  tags: string[]
  properties: Property[]
  /** Null: everybody who reads the knowledge base. */
  visibleTo: string[] | null
}

export const noLabels = (): Labels => ({ tags: [], properties: [], visibleTo: null })
export const newProperty = (): Property => ({ key: newId(), name: '', kind: 'text', value: '' })

const DATE = /^\d{4}-\d{2}-\d{2}$/

function kindOf(value: unknown): Kind {
  if (typeof value === 'boolean')
    return 'bool'
  return typeof value === 'number' ? 'number' : DATE.test(String(value)) ? 'date' : 'text'
}

export function labelsOf(document: { tags: string[], properties: Record<string, unknown>, visible_to: string[] | null }): Labels {
  const properties = Object.entries(document.properties).map(([name, value]) => ({ key: newId(), name, kind: kindOf(value), value: String(value) }))
  return { tags: [...document.tags], properties, visibleTo: document.visible_to && [...document.visible_to] }
}

/** A value as the server knows it; undefined: none was given. */
export function valueOf({ kind, value }: Pick<Property, 'kind' | 'value'>): string | number | boolean | undefined {
  const text = value.trim()
  if (text === '')
    return undefined
  if (kind === 'number')
    return Number.isFinite(Number(text)) ? Number(text) : undefined
  return kind === 'bool' ? text === 'true' : text
}

const isWhole = (one: Property) => one.name.trim() !== '' && valueOf(one) !== undefined

/** Lines that say nothing yet, or only half of it. */
export const isLacking = (labels: Labels) => labels.properties.some(one => !isWhole(one))

export function saidOf(labels: Labels): Said {
  const properties = labels.properties.filter(isWhole).map(one => [one.name.trim(), valueOf(one)!] as const)
  return { tags: labels.tags, properties: Object.fromEntries(properties), visible_to: labels.visibleTo }
}

/** Fields of an upload: what is not said stays as the file that is replaced has it. */
export function fieldsOf(labels: Labels): [string, string][] {
  const { tags, properties, visible_to } = saidOf(labels)
  return [
    ...(tags.length ? [['tags', JSON.stringify(tags)] as [string, string]] : []),
    ...(Object.keys(properties).length ? [['properties', JSON.stringify(properties)] as [string, string]] : []),
    ...(visible_to ? [['visible_to', JSON.stringify(visible_to)] as [string, string]] : []),
  ]
}
