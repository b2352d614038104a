/** Day and time: versions of a file may be seconds apart. */
export function dateTime(iso: string, locale: string): string {
  return new Intl.DateTimeFormat(locale === 'zh' ? 'zh-CN' : 'en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }).format(new Date(iso))
}
