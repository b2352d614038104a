import type { Explanation, Trace, Wanted } from './explain'
import { computed, ref, shallowRef } from 'vue'
import { post } from '@/api/client'
import { useErrorText } from '@/composables/useErrorText'
import { filtersOf, noFilters } from './filters'

export type Fusion = '' | 'score' | 'rank'

/** A hit test: one question with settings that are tried once. What was not touched is the knowledge base's. */
export function useExplain(base: string) {
  const textOf = useErrorText()
  const query = ref('')
  const topK = ref(5)
  const distance = ref<number | null>(null)
  const words = ref<number | null>(null)
  const fusion = ref<Fusion>('')
  const wanted = ref(noFilters())
  const file = ref('')
  const passage = ref('')
  const result = shallowRef<Explanation | null>(null)
  const problem = ref('')
  const isBusy = ref(false)

  const trace = computed<Trace>(() => result.value?.trace ?? {})
  const others = computed(() => result.value?.candidates.filter(one => one.outcome !== 'hit') ?? [])
  const isOwn = computed(() => words.value !== null || fusion.value !== '' || distance.value !== null)

  const filters = computed(() => filtersOf(wanted.value))

  function body(): Wanted {
    const settings = { ...(words.value === null ? {} : { words: words.value }), ...(fusion.value ? { fusion: fusion.value } : {}) }
    const expected = { ...(file.value.trim() ? { file_name: file.value.trim() } : {}), ...(passage.value.trim() ? { text: passage.value.trim() } : {}) }
    return {
      knowledge_base_name: base,
      query: query.value.trim(),
      top_k: topK.value,
      // What was not touched is what the knowledge base was calibrated to.
      ...(distance.value === null ? {} : { score_threshold: distance.value }),
      ...(Object.keys(settings).length ? { settings } : {}),
      ...(filters.value ? { filters: filters.value } : {}),
      ...(Object.keys(expected).length ? { expected } : {}),
    }
  }

  async function run(): Promise<void> {
    problem.value = ''
    isBusy.value = true
    try {
      result.value = await post('/knowledge_base/explain', body())
    }
    catch (error) {
      problem.value = textOf(error)
    }
    isBusy.value = false
  }

  function reset(): void {
    [distance.value, words.value, fusion.value] = [null, null, '']
  }

  /** What was touched, as a knowledge base keeps it. */
  const touched = computed(() => ({
    ...(words.value === null ? {} : { words: words.value }),
    ...(fusion.value ? { fusion: fusion.value } : {}),
    ...(distance.value === null ? {} : { threshold: distance.value }),
  }))

  return { query, wanted, filters, topK, distance, words, fusion, file, passage, result, trace, others, isOwn, touched, problem, isBusy, run, reset }
}
