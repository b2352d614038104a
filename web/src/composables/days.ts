import type { SessionItem } from '@/stores/sessions'

export interface Day<T> { key: 'pinned' | 'today' | 'yesterday' | string, items: T[] }

const dayOf = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()
const DAY = 86_400_000

/** Conversations by day, in the order that they come in: pinned ones apart, then today, yesterday, and each date. */
export function byDay<T extends Pick<SessionItem, 'create_time' | 'pinned'>>(items: T[], now = new Date()): Day<T>[] {
  const days: Day<T>[] = []
  for (const item of items) {
    const created = new Date(item.create_time)
    const age = Math.round((dayOf(now) - dayOf(created)) / DAY)
    const key = item.pinned ? 'pinned' : age <= 0 ? 'today' : age === 1 ? 'yesterday' : String(dayOf(created))
    const day = days.find(other => other.key === key)
    if (day)
      day.items.push(item)
    else
      days.push({ key, items: [item] })
  }
  return days
}

/** The time of today, the date of an earlier day. */
export function shortTime(iso: string, locale: string, now = new Date()): string {
  const date = new Date(iso)
  const isToday = dayOf(date) === dayOf(now)
  const form: Intl.DateTimeFormatOptions = isToday ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } : { month: 'short', day: 'numeric' }
  return new Intl.DateTimeFormat(locale === 'zh' ? 'zh-CN' : 'en', form).format(date)
}
