import type { Imported } from '@/api/packages'
import { onScopeDispose, ref, shallowRef } from 'vue'
import { isAborted } from '@/api/errors'
import { upload } from '@/api/upload'
import { useErrorText } from '@/composables/useErrorText'

/** A package on its way in: sent, then taken apart by the server, then there. */
export function useImport() {
  const textOf = useErrorText()
  const percent = ref<number | null>(null)
  const result = shallowRef<Imported | null>(null)
  const problem = ref('')
  let controller = new AbortController()

  async function send(file: File, name: string): Promise<boolean> {
    controller = new AbortController()
    problem.value = ''
    result.value = null
    percent.value = 0
    const form = new FormData()
    form.append('file', file)
    name && form.append('knowledge_base_name', name)
    try {
      result.value = await upload<Imported>('/knowledge_base/import', form, (now) => { percent.value = now }, controller.signal)
    }
    catch (error) {
      if (!isAborted(error))
        problem.value = textOf(error)
    }
    percent.value = null
    return result.value !== null
  }

  const cancel = () => controller.abort()
  onScopeDispose(cancel)
  return { percent, result, problem, send, cancel }
}
