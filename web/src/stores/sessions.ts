import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { call } from '@/api/client'
import { settle } from '@/storage/fresh'
import { useLeaving } from './leaving'

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
  snippet?: string | null
}

interface Filter {
  q?: string
  offset?: number
  limit?: number
}

/** The caller's conversations. Pages keep their own search results; here are the latest ones, for the home page and the column. */
export const useSessionsStore = defineStore('sessions', () => {
  const all = ref<SessionItem[]>([])
  const leaving = useLeaving((id) => { all.value = all.value.filter(item => item.session_id !== id) })
  const items = computed(() => all.value.filter(item => !leaving.isLeaving(item.session_id)))
  const isLoaded = ref(false)

  const find = (filter: Filter = {}) => call<SessionItem[]>('/session/list', { query: { pinned_first: true, limit: 50, ...filter } })

  async function load(): Promise<void> {
    all.value = await find()
    isLoaded.value = true
  }

  /** One of them, `isOld`: although it is not one of the latest. */
  async function fetch(sessionId: string, isOld = false): Promise<SessionItem | undefined> {
    if (!isOld && !get(sessionId))
      await load()
    const known = get(sessionId)
    return known || !isOld ? known : (await find({ limit: 1000 })).find(item => item.session_id === sessionId)
  }

  async function save(item: Pick<SessionItem, 'session_id' | 'session_name' | 'mode'>, param?: object): Promise<void> {
    const name = [...item.session_name].slice(0, 20).join('')
    await call('/session/save', { method: 'POST', body: { session_id: item.session_id, session_name: name, mode: item.mode, ...(param ? { param } : {}) } })
    settle(item.session_id)
    const known = items.value.find(other => other.session_id === item.session_id)
    if (known)
      Object.assign(known, { session_name: name, mode: item.mode }, param ? { param: JSON.stringify(param) } : {})
    else
      all.value.unshift({ session_id: item.session_id, mode: item.mode, session_name: name, param: JSON.stringify(param ?? {}), create_time: new Date().toISOString() })
  }

  const get = (sessionId: string) => items.value.find(item => item.session_id === sessionId)

  const remove = (item: SessionItem, words: string, undo: string, onProblem: (error: unknown) => void) => leaving.remove(item.session_id, words, undo, onProblem)

  return { items, isLoaded, find, load, fetch, save, get, remove, isLeaving: leaving.isLeaving }
})
