import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { applyAppearance } from './composables/useAppearance'
import { installLayers } from './composables/useLayer'
import { i18n, language, setLanguage } from './i18n'
import { makeRouter } from './router'
import { takeArrival } from './stores/arrival'
import { useSessionStore } from './stores/session'
import './styles/tokens.css'
import './styles/base.css'

async function start(): Promise<void> {
  applyAppearance()
  const arrival = takeArrival()
  installLayers()
  const app = createApp(App).use(createPinia())
  useSessionStore().start(arrival)
  await setLanguage(language.value)
  app.use(i18n).use(makeRouter()).mount('#app')
}

void start()
