import type { Language } from './language'
import { createI18n } from 'vue-i18n'
import { language, remember } from './language'

type Words = Record<string, unknown>

// Each part of the page has a file of words per language; only those of this language and of the parts in use are loaded.
const files = import.meta.glob<{ default: Words }>('./{zh,en}/*.ts')

/** The parts that every visit needs. */
export const CORE = ['common', 'entry', 'home', 'chat']

export const i18n = createI18n({ legacy: false, locale: language.value, fallbackLocale: language.value, missingWarn: false, fallbackWarn: false })

const areas = new Set(CORE)
const loaded = new Set<string>()

async function load(area: string, of: Language): Promise<void> {
  const name = `./${of}/${area}.ts`
  const file = files[name]
  if (!file || loaded.has(name))
    return
  i18n.global.mergeLocaleMessage(of, { [area]: (await file()).default })
  loaded.add(name)
}

/** Load the words of a part of the page: `t('manage.title')` after `loadArea('manage')`. Routes do it by `meta.area`. */
export async function loadArea(area: string): Promise<void> {
  areas.add(area)
  await load(area, language.value)
}

export async function setLanguage(chosen: Language): Promise<void> {
  await Promise.all([...areas].map(area => load(area, chosen)))
  if (chosen !== language.value)
    remember(chosen)
  i18n.global.locale.value = chosen
  document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en'
}

export { language }
