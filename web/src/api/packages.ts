import type { components } from './schema'
import { addressOf } from './client'

export type Imported = components['schemas']['ImportedOut']

export const exportAddress = (base: string) => addressOf('/knowledge_base/export', { knowledge_base_name: base })
