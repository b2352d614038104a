import { useI18n } from 'vue-i18n'
import { useSwitchesStore } from '@/stores/switches'

/** Why a file is not sent at all: it is known before that it would be refused. Nothing where it may be taken. */
export function useTooLarge(): (file: File) => string {
  const { t } = useI18n()
  const store = useSwitchesStore()
  return (file) => {
    const most = store.switches.max_file_size ?? 0
    return most > 0 && file.size > most ? t('common.error.tooLarge', { n: Math.floor(most / 1024 ** 2) }) : ''
  }
}
