import { ref } from 'vue'
import { get } from '@/api/client'

/** Questions that readers are offered; none is no fault, the page goes on without. */
export function useRecommended(number: number, base?: () => string | undefined) {
  const questions = ref<string[]>([])
  const isLoading = ref(false)

  async function refresh(): Promise<void> {
    isLoading.value = true
    const name = base?.()
    const rows = await get('/recommend/question', { num: number, ...(name === undefined ? {} : { kb_name: name }) }).catch(() => [])
    questions.value = rows.map(row => row.query)
    isLoading.value = false
  }

  return { questions, isLoading, refresh }
}
