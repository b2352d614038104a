import type { Ref } from 'vue'
import type { Doc } from './useDocuments'
import { ref, watch } from 'vue'
import { useI18n } from 'vue-i18n'
import { isWorking } from './useDocuments'

/** For those who do not see bars grow: what has become of files, and how many are still being read. */
export function useNews(items: Ref<Doc[]>) {
  const { t } = useI18n()
  const news = ref('')

  watch(items, (now, before) => {
    const worked = new Set(before.filter(isWorking).map(item => item.document_id))
    const ended = now.filter(item => worked.has(item.document_id) && !isWorking(item))
    const left = now.filter(isWorking).length
    const told = ended.map(item => `${item.file_name}: ${t(`manage.state.${item.state}`)}`)
    if (told.length || left !== worked.size)
      news.value = [...told, left ? t('ingest.working', { n: left }, left) : ''].filter(Boolean).join('. ')
  })

  return news
}
