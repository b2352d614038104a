import { ref } from 'vue'

export type Language = 'zh' | 'en'

const KEY = 'language'

function first(): Language {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'zh' || chosen === 'en')
    return chosen
  return (navigator.languages[0] ?? 'zh').toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

/** The language of now; change it with `setLanguage` of ./index. */
export const language = ref<Language>(first())

export function remember(chosen: Language): void {
  language.value = chosen
  localStorage.setItem(KEY, chosen)
}
