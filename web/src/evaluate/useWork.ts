import { ref } from 'vue'
import { useErrorText } from '@/composables/useErrorText'

/** One thing at a time, and what went wrong with it. */
export function useWork() {
  const textOf = useErrorText()
  const problem = ref('')
  const isBusy = ref(false)

  async function work(task: () => Promise<unknown>): Promise<boolean> {
    problem.value = ''
    isBusy.value = true
    try {
      await task()
      return true
    }
    catch (error) {
      problem.value = textOf(error)
      return false
    }
    finally {
      isBusy.value = false
    }
  }

  return { problem, isBusy, work }
}
