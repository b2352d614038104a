import { defineStore } from 'pinia'
import { computed, ref } from 'vue'

/** What the page must know before anybody has come in: /h5/switches.json. */
export interface Switches {
  /** There is a demo, and a passphrase to ask for. */
  demo: boolean
  /** The client of WeCom's sign-on (`/sso?client=…`), where it is on. */
  wecom?: string
  /** Endings of the files that the server reads: `.pdf`. */
  file_types?: string[]
  /** Bytes of the largest file that it takes. */
  max_file_size?: number
}

export const useSwitchesStore = defineStore('switches', () => {
  const switches = ref<Switches>({ demo: false })
  let asked: Promise<void> | null = null

  async function ask(): Promise<void> {
    const response = await fetch(`${import.meta.env.BASE_URL}switches.json`)
    if (response.ok)
      switches.value = await response.json() as Switches
  }

  /** Asked once; a try that failed may be tried again. */
  function load(): Promise<void> {
    asked ??= ask().catch(() => { asked = null })
    return asked
  }

  /** For file inputs; what is not known yet rules nothing out. */
  const accept = computed(() => (switches.value.file_types ?? []).join(','))

  return { switches, accept, load }
})
