import type { Cut, CutPreview } from '@/api/chunks'
import { onScopeDispose, ref, shallowRef } from 'vue'
import { previewChunks } from '@/api/chunks'
import { isAborted } from '@/api/errors'
import { useErrorText } from '@/composables/useErrorText'
import { cutFields } from './cut'

const FEW = 50
const MANY = 500

/** The passages that would come of a file. Who asks again has the answer to what was asked last. */
export function useCutPreview(base: string) {
  const textOf = useErrorText()
  const result = shallowRef<CutPreview | null>(null)
  const isLoading = ref(false)
  const problem = ref('')
  let controller = new AbortController()

  async function run(file: File | string, cut: Cut, isWhole = false): Promise<void> {
    controller.abort()
    controller = new AbortController()
    const { signal } = controller
    problem.value = ''
    isLoading.value = true
    try {
      result.value = await previewChunks(base, file, cutFields(cut), isWhole ? MANY : FEW, signal)
    }
    catch (error) {
      if (isAborted(error))
        return
      result.value = null
      problem.value = textOf(error)
    }
    finally {
      if (!signal.aborted)
        isLoading.value = false
    }
  }

  onScopeDispose(() => controller.abort())
  return { result, isLoading, problem, run, most: MANY }
}
