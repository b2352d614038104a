import { useI18n } from 'vue-i18n'
import { useToast } from './useToast'

// Web views without a clipboard API, or a page over http, still have the old way.
function copyOldWay(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'quiet'
  area.readOnly = true
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  return done
}

export function useCopy(): (text: string, words: string) => Promise<void> {
  const { t } = useI18n()
  const { say, complain } = useToast()
  return async (text, words) => {
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false) || copyOldWay(text)
    if (done)
      say(words)
    else
      complain(t('common.copyFailed'))
  }
}
