import type { ChatMessage } from './chatMessage'
import { useI18n } from 'vue-i18n'

/** What is happening to a question, in words; nothing once it is answered. */
export function useStage(): (message: ChatMessage) => string {
  const { t } = useI18n()
  return ({ state, hold, isLost, stage }) => {
    if (state === 'queued' && hold)
      return ''
    if (state === 'queued')
      return t(isLost ? 'chat.stage.offline' : 'chat.stage.sending')
    if (state !== 'writing')
      return ''
    if (isLost)
      return t('chat.stage.lost')
    if (stage?.name === 'reading' && stage.count === 0)
      return t('chat.stage.readingNone')
    return stage ? t(`chat.stage.${stage.name}`, { n: stage.count }, stage.count) : t('chat.stage.searching')
  }
}
