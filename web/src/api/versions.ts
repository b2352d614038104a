import type { components } from './schema'
import { addressOf, get, post } from './client'

export type Version = components['schemas']['VersionOut']
export type Compared = Awaited<ReturnType<typeof compareVersions>>

export function listVersions(base: string, file: string) {
  return get('/knowledge_base/versions', { knowledge_base_name: base, file_name: file })
}
export function compareVersions(base: string, file: string, older: string, newer: string) {
  return get('/knowledge_base/compare_versions', { knowledge_base_name: base, file_name: file, old: older, new: newer })
}
/** An earlier one, or a replacement that could not be read; the current one stays. */
export function deleteVersion(base: string, file: string, document: string) {
  return post('/knowledge_base/delete_version', { knowledge_base_name: base, file_name: file, document_id: document })
}
export function restoreVersion(base: string, file: string, document: string) {
  return post('/knowledge_base/restore_version', { knowledge_base_name: base, file_name: file, document_id: document })
}
export function versionAddress(base: string, file: string, document: string) {
  return addressOf('/knowledge_base/download_doc', { knowledge_base_name: base, file_name: file, document_id: document })
}
