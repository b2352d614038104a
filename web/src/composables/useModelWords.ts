import { useI18n } from 'vue-i18n'
import { useSessionStore } from '@/stores/session'

/** What a failed model or search engine is to readers: what the server says of it is for those who can look after it. */
export function useModelWords(): (code: string, words: string) => string {
  const { t } = useI18n()
  const session = useSessionStore()
  return (code, words) => {
    if (session.isManager || !/^(?:upstream_|model_unavailable$|prompt_broken$)/.test(code))
      return words
    return t(/_(?:busy|timeout)$/.test(code) ? 'common.error.modelBusy' : 'common.error.model')
  }
}
