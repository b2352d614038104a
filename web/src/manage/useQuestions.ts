import { ref } from 'vue'
import { get, post } from '@/api/client'
import { upload } from '@/api/upload'

export type Question = Awaited<ReturnType<typeof page>>['items'][number]
export interface Given { query: string, answer: string, enable: boolean }
interface Imported { created: number, updated: number, failed_rows: { row: number, reason: string }[] }

const SIZE = 50
const page = (base: string, number: number) => get('/recommend/question/list', { kb_name: base, page: number, page_size: SIZE })

/** The questions that a knowledge base recommends. */
export function useQuestions(base: string) {
  const items = ref<Question[]>([])
  const total = ref(0)
  const isLoaded = ref(false)
  let last = 1

  async function load(): Promise<void> {
    const found = await page(base, last = 1)
    items.value = found.items
    total.value = found.total
    isLoaded.value = true
  }

  async function more(): Promise<void> {
    const found = await page(base, ++last)
    items.value = [...items.value, ...found.items]
    total.value = found.total
  }

  async function save(given: Given, id?: number): Promise<void> {
    await post('/recommend/question', { ...given, kb_name: base, ...(id === undefined ? {} : { question_id: id }) })
    await load()
  }

  async function importCsv(file: File): Promise<Imported> {
    const form = new FormData()
    form.append('file', file)
    form.append('kb_name', base)
    const done = await upload<Imported>('/recommend/question/import', form, () => {}, new AbortController().signal)
    await load()
    return done
  }

  return { items, total, isLoaded, load, more, save, importCsv }
}
