import type { Ref } from 'vue'
import type { Passage } from '@/api/passages'
import type { ChatMessage } from '@/composables/chatMessage'
import { computed, onScopeDispose, ref, watch } from 'vue'
import { isAborted } from '@/api/errors'
import { readPassage } from '@/api/passages'
import { useErrorText } from '@/composables/useErrorText'

/** The passage that is looked at: at once as it was shown, then as it is today. */
export function usePassage(message: Ref<ChatMessage | null>, number: Ref<number>) {
  const textOf = useErrorText()
  const today = ref<Passage | null>(null)
  const isLoading = ref(false)
  const problem = ref('')
  let controller = new AbortController()

  const shown = computed<Passage | null>(() => {
    const known = message.value?.sources.find(source => source.number === number.value)
    return today.value ?? (known ? { quote: [], before: null, after: null, media_type: null, is_gone: false, ...known } : null)
  })

  async function load(): Promise<void> {
    controller.abort()
    controller = new AbortController()
    const { signal } = controller
    today.value = null
    problem.value = ''
    if (!message.value || !number.value)
      return
    isLoading.value = true
    try {
      today.value = await readPassage(message.value.id, number.value, signal)
    }
    catch (error) {
      if (isAborted(error))
        return
      problem.value = textOf(error)
    }
    finally {
      if (!signal.aborted)
        isLoading.value = false
    }
  }

  watch([() => message.value?.id, number], load, { immediate: true })
  onScopeDispose(() => controller.abort())

  return { shown, isLoading, problem, load }
}
