import type { Anchor } from '@/api/chunks'
import { useI18n } from 'vue-i18n'

/** Where in its file a passage stands, in words: page, slide, sheet or row, and the headings above it. */
export function useWhere(): (anchor: Anchor) => string {
  const { t } = useI18n()
  return (anchor) => {
    const text = (name: string) => anchor[name] === undefined || anchor[name] === null ? '' : String(anchor[name])
    const page = text('page_end') ? `${text('page')}–${text('page_end')}` : text('page')
    return [
      page && t('manage.page', { n: page }),
      text('slide') && t('ingest.slide', { n: text('slide') }),
      text('sheet') && text('range') ? `${text('sheet')}!${text('range')}` : text('sheet'),
      text('row') && !text('range') ? t('ingest.row', { n: text('row') }) : '',
      text('time'),
      text('heading').split(' > ').filter(Boolean).join(' › '),
    ].filter(Boolean).join(' · ')
  }
}
