import { ref } from 'vue'
import { get } from '@/api/client'

/** A question that readers are offered. `base`: the knowledge base it is about, if it is about one. */
export interface Recommended {
  query: string
  base?: string
}

/** Questions that readers are offered; none is no fault, the page goes on without. */
export function useRecommended(number: number, base?: () => string | undefined) {
  const questions = ref<Recommended[]>([])
  const isLoading = ref(false)

  async function refresh(): Promise<void> {
    isLoading.value = true
    const name = base?.()
    const rows = await get('/recommend/question', { num: number, ...(name === undefined ? {} : { kb_name: name }) }).catch(() => [])
    questions.value = rows.map(row => row.kb_name ? { query: row.query, base: row.kb_name } : { query: row.query })
    isLoading.value = false
  }

  return { questions, isLoading, refresh }
}
