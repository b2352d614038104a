const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const

/** Bytes as people say them. */
export function sizeOf(bytes: number, locale: string): string {
  const step = Math.min(UNITS.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3))
  const value = bytes / 1000 ** step
  return new Intl.NumberFormat(locale === 'zh' ? 'zh-CN' : 'en', { style: 'unit', unit: UNITS[step]!, unitDisplay: 'short', maximumFractionDigits: value < 10 && step ? 1 : 0 }).format(value)
}
