import { ref } from 'vue'
import { get, post } from '@/api/client'
import { usePolling } from '@/composables/usePolling'

type Row = Awaited<ReturnType<typeof page>>['items'][number]
export interface Doc extends Row { percent: number }

const SIZE = 100
const page = (base: string, number: number) => get('/knowledge_base/documents', { knowledge_base_name: base, page: number, page_size: SIZE })
const AT_REST = new Set(['ready', 'failed', 'stored'])
export const isWorking = (row: { state: string }) => !AT_REST.has(row.state)

/** The documents of a knowledge base; those that are being read are looked at until they are done. */
export function useDocuments(base: string, onDone: () => void) {
  const items = ref<Doc[]>([])
  const total = ref(0)
  const isLoaded = ref(false)
  let pages = 1

  async function load(): Promise<void> {
    const rows: Row[] = []
    for (let number = 1; number <= pages; number++) {
      const found = await page(base, number)
      rows.push(...found.items)
      total.value = found.total
      if (rows.length >= found.total)
        break
    }
    const jobs = rows.some(isWorking) ? (await get('/jobs', { knowledge_base_name: base, page_size: SIZE })).items : []
    const percents = new Map(jobs.reverse().map(job => [job.document_id, job.percent]))
    const worked = items.value.some(isWorking)
    items.value = rows.map(row => ({ ...row, percent: percents.get(row.document_id) ?? 0 }))
    isLoaded.value = true
    if (worked && !rows.some(isWorking))
      onDone()
  }

  const polling = usePolling(load, () => items.value.some(isWorking))

  async function refresh(): Promise<void> {
    await load()
    polling.wake()
  }

  async function more(): Promise<void> {
    pages += 1
    await refresh()
  }

  async function remove(names: string[]): Promise<void> {
    await post('/knowledge_base/delete_docs', { knowledge_base_name: base, file_names: names, delete_content: true, not_refresh_vs_cache: false })
    await refresh()
    onDone()
  }

  /** Read a file once more. */
  async function again(name: string): Promise<void> {
    await post('/knowledge_base/update_docs', { knowledge_base_name: base, file_names: [name], override_custom_docs: false, docs: '{}', not_refresh_vs_cache: false })
    await refresh()
  }

  return { items, total, isLoaded, refresh, more, remove, again }
}
