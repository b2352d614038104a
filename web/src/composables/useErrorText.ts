import { useI18n } from 'vue-i18n'
import { ApiError, NetworkError } from '@/api/errors'
import { useModelWords } from './useModelWords'

/** What to tell people about an error: the server's own words where it has some, they come in the reader's language. */
export function useErrorText(): (error: unknown) => string {
  const { t } = useI18n()
  const ofModel = useModelWords()
  return (error) => {
    if (error instanceof NetworkError)
      return t('common.error.network')
    if (!(error instanceof ApiError))
      return t('common.error.unknown')
    if (error.status === 401)
      return t('common.error.expired')
    if (error.status === 429)
      return error.message || t('common.error.busy')
    const words = ofModel(error.code, error.message) || t(error.status >= 500 ? 'common.error.server' : 'common.error.refused', { status: error.status })
    return error.status >= 500 && error.requestId ? t('common.error.withId', { words, id: error.requestId.slice(0, 8) }) : words
  }
}
