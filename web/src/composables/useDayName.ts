import { useI18n } from 'vue-i18n'

/** What a day of `byDay` is called. */
export function useDayName(): (key: string) => string {
  const { t, locale } = useI18n()
  return (key) => {
    if (key === 'pinned' || key === 'today' || key === 'yesterday')
      return t(`common.${key}`)
    const date = new Date(Number(key))
    const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: 'numeric' } as const
    return new Intl.DateTimeFormat(locale.value === 'zh' ? 'zh-CN' : 'en', { ...year, month: 'long', day: 'numeric' }).format(date)
  }
}
