import type { Doc } from './useDocuments'
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'

/** What people must know of a document: of its reading, and of changes of theirs that did not outlast another one. */
export function useNotes(document: () => Doc | null) {
  const { t } = useI18n()
  return computed(() => {
    const item = document()
    const lost = item?.edits?.lost ?? 0
    const texts = item?.edits?.lost_texts.join(' / ') ?? ''
    return [...item?.warnings ?? [], ...(lost ? [t('ingest.lostEdits', { n: lost, texts }, lost)] : [])]
  })
}
