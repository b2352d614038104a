import { ref, watch } from 'vue'
import { onTurn } from './useMedia'

export type Theme = 'auto' | 'light' | 'dark'
export const SCALES = [0.9, 1, 1.125, 1.25, 1.4]

const THEME = 'theme'
const SCALE = 'text-scale'

function stored<T>(key: string, allowed: readonly T[], otherwise: T): T {
  return allowed.find(value => String(value) === localStorage.getItem(key)) ?? otherwise
}

/** As the system (WeCom sets it, too), unless somebody chose. */
const theme = ref<Theme>(stored(THEME, ['auto', 'light', 'dark'], 'auto'))
/** On top of the text size of the system or of WeCom, which zoom the page themselves: everything here is in rem. */
const scale = ref(stored(SCALE, SCALES, 1))
const system = window.matchMedia('(prefers-color-scheme: dark)')
const isDark = ref(false)

function show(): void {
  const root = document.documentElement
  isDark.value = theme.value === 'dark' || (theme.value === 'auto' && system.matches)
  root.dataset.theme = isDark.value ? 'dark' : 'light'
  // Vant's own switch.
  root.classList.toggle('van-theme-dark', isDark.value)
  root.style.setProperty('--text-scale', String(scale.value))
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]'))
    meta.content = isDark.value ? '#121417' : '#f4f5f7'
}

export function applyAppearance(): void {
  show()
  onTurn(system, show)
  watch([theme, scale], () => {
    localStorage.setItem(THEME, theme.value)
    localStorage.setItem(SCALE, String(scale.value))
    show()
  })
}

export function useAppearance() {
  return { theme, scale, isDark }
}
