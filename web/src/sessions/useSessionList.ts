import type { SessionItem } from '@/stores/sessions'
import { computed, onScopeDispose, ref, watch } from 'vue'
import { useI18n } from 'vue-i18n'
import { call } from '@/api/client'
import { useErrorText } from '@/composables/useErrorText'
import { useToast } from '@/composables/useToast'
import { useSessionsStore } from '@/stores/sessions'

const PAGE = 50
const PAUSE = 250

/** All conversations, or those that say some words, a page at a time; and what may be done with one. */
export function useSessionList() {
  const { t } = useI18n()
  const { complain } = useToast()
  const textOf = useErrorText()
  const store = useSessionsStore()
  const words = ref('')
  const found = ref<SessionItem[]>([])
  const hasMore = ref(false)
  const isLoading = ref(false)
  const problem = ref('')
  const items = computed(() => found.value.filter(item => !store.isLeaving(item.session_id)))
  let turn = 0

  /** From the beginning, or what comes behind what is there. An answer to older words is dropped. */
  async function load(more = false): Promise<void> {
    const mine = ++turn
    isLoading.value = true
    problem.value = ''
    try {
      const q = words.value.trim()
      const rows = await store.find({ limit: PAGE, offset: more ? found.value.length : 0, ...(q ? { q } : {}) })
      if (mine !== turn)
        return
      const known = new Set(more ? found.value.map(item => item.session_id) : [])
      found.value = [...more ? found.value : [], ...rows.filter(row => !known.has(row.session_id))]
      hasMore.value = rows.length === PAGE
    }
    catch (error) {
      if (mine === turn)
        problem.value = textOf(error)
    }
    finally {
      if (mine === turn)
        isLoading.value = false
    }
  }

  let timer: ReturnType<typeof setTimeout> | undefined
  watch(words, () => {
    clearTimeout(timer)
    timer = setTimeout(() => void load(), PAUSE)
  })
  onScopeDispose(() => clearTimeout(timer))

  const attempt = (work: Promise<unknown>) => work.catch((error: unknown) => complain(textOf(error)))

  async function rename(item: SessionItem, name: string): Promise<void> {
    await attempt(store.save({ ...item, session_name: name }).then(() => { item.session_name = [...name].slice(0, 20).join('') }))
  }

  async function pin(item: SessionItem): Promise<void> {
    const pinned = !item.pinned
    await attempt(call('/session/pin', { method: 'POST', body: { session_id: item.session_id, pinned } }).then(() => {
      item.pinned = pinned
      return Promise.all([load(), store.load()])
    }))
  }

  function remove(item: SessionItem): void {
    store.remove(item, t('sessions.deleted', { name: item.session_name || t('chat.title') }), t('common.undo'), error => complain(textOf(error)))
  }

  return { words, items, hasMore, isLoading, problem, load, rename, pin, remove }
}
