import type { Chunk, Wording } from '@/api/chunks'
import { computed, onScopeDispose, ref, watch } from 'vue'
import { addChunk, deleteChunk, listChunks, updateChunk } from '@/api/chunks'
import { isAborted } from '@/api/errors'
import { useErrorText } from '@/composables/useErrorText'

const PAUSE = 250

/** The passages of a file, a page at a time, or those that say some words; each can be changed. */
export function useChunks(base: string, file: string) {
  const textOf = useErrorText()
  const words = ref('')
  const page = ref(1)
  const items = ref<Chunk[]>([])
  const total = ref(0)
  const size = ref(50)
  const isLoaded = ref(false)
  const isLoading = ref(false)
  const problem = ref('')
  const pages = computed(() => Math.max(1, Math.ceil(total.value / size.value)))
  let controller = new AbortController()

  /** An answer to older words is dropped. */
  async function load(): Promise<void> {
    controller.abort()
    controller = new AbortController()
    const { signal } = controller
    problem.value = ''
    isLoading.value = true
    try {
      const found = await listChunks(base, file, words.value.trim(), page.value, signal)
      items.value = found.items
      total.value = found.total
      size.value = found.page_size || 50
      isLoaded.value = true
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
    // The last one of a page was deleted.
    if (page.value > pages.value) {
      page.value = pages.value
      await load()
    }
  }

  async function go(number: number): Promise<void> {
    page.value = Math.min(Math.max(1, number), pages.value)
    await load()
  }

  let timer: ReturnType<typeof setTimeout> | undefined
  watch(words, () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      page.value = 1
      void load()
    }, PAUSE)
  })
  onScopeDispose(() => {
    clearTimeout(timer)
    controller.abort()
  })

  /** Its id may be another one afterwards. */
  async function change(chunk: Chunk, changes: Wording): Promise<void> {
    const now = await updateChunk(base, chunk.chunk_id, changes)
    items.value = items.value.map(one => one.chunk_id === chunk.chunk_id ? now : one)
  }

  async function add(wording: Wording & { text: string }, after: Chunk | null): Promise<void> {
    await addChunk(base, file, wording, after?.chunk_id ?? null)
    await load()
  }

  async function remove(chunk: Chunk): Promise<void> {
    await deleteChunk(base, chunk.chunk_id)
    await load()
  }

  return { words, page, pages, items, total, isLoaded, isLoading, problem, load, go, change, add, remove }
}
