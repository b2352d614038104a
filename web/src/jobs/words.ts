import type { Job } from '@/api/jobs'
import { useI18n } from 'vue-i18n'

type Translate = ReturnType<typeof useI18n>['t']

/** Seconds as people wait for them: never more exact than they are known. */
export function leftWords(seconds: number, t: Translate): string {
  if (seconds < 5)
    return t('ingest.left.soon')
  if (seconds < 55)
    return t('ingest.left.seconds', { n: Math.ceil(seconds / 5) * 5 })
  if (seconds < 3570)
    return t('ingest.left.minutes', { n: Math.round(seconds / 60) }, Math.round(seconds / 60))
  return t('ingest.left.hours', { n: Math.round(seconds / 3600) }, Math.round(seconds / 3600))
}

/** How far a job is: its stage, percent, pages, and how long it will take. */
export function useJobWords() {
  const { t } = useI18n()
  return (job: Job): string => {
    const pages = job.pages_total && job.stage === 'parsing' ? t('ingest.pages', { n: job.pages_done ?? 0, of: job.pages_total }) : ''
    const passages = job.chunks && job.stage === 'embedding' ? t('manage.passages', { n: job.chunks }, job.chunks) : ''
    const left = typeof job.eta_seconds === 'number' && job.stage !== 'waiting' ? leftWords(job.eta_seconds, t) : ''
    return [t(`manage.state.${job.stage}`) + (job.percent ? ` ${job.percent}%` : ''), pages, passages, left].filter(Boolean).join(' · ')
  }
}
