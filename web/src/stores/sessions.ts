import { defineStore } from 'pinia'
import { ref } from 'vue'
import { call } from '@/api/client'

export interface SessionItem {
  session_id: string
  session_name: string
  /** LLM, Knowledge, SearchEngine or Agent. */
  mode: string
  /** JSON, as text. */
  param: string
  create_time: string
  pinned?: boolean
  /** What a search found in it. */
  snippet?: string
}

interface Filter {
  q?: string
  offset?: number
  limit?: number
}

/** The caller's conversations. Pages keep their own search results; here are the latest ones, for the home page and the column. */
export const useSessionsStore = defineStore('sessions', () => {
  const items = ref<SessionItem[]>([])
  const isLoaded = ref(false)

  const find = (filter: Filter = {}) => call<SessionItem[]>('/session/list', { query: { pinned_first: true, limit: 50, ...filter } })

  async function load(): Promise<void> {
    items.value = await find()
    isLoaded.value = true
  }

  async function save(item: Pick<SessionItem, 'session_id' | 'session_name' | 'mode'>, param?: object): Promise<void> {
    const name = [...item.session_name].slice(0, 20).join('')
    await call('/session/save', { method: 'POST', body: { ...item, session_name: name, ...(param ? { param } : {}) } })
    const known = items.value.find(other => other.session_id === item.session_id)
    if (known)
      Object.assign(known, { session_name: name, mode: item.mode }, param ? { param: JSON.stringify(param) } : {})
    else
      items.value.unshift({ ...item, session_name: name, param: JSON.stringify(param ?? {}), create_time: new Date().toISOString() })
  }

  const get = (sessionId: string) => items.value.find(item => item.session_id === sessionId)

  return { items, isLoaded, find, load, save, get }
})
