import type { Job } from '@/api/jobs'
import { ref } from 'vue'
import { get, post } from '@/api/client'
import { cancelJob, isOpen, listJobs } from '@/api/jobs'
import { deleteVersion } from '@/api/versions'
import { useJobWatch } from '@/jobs/useJobWatch'
import { useSoon } from '@/jobs/useSoon'

type Row = Awaited<ReturnType<typeof page>>['items'][number]
/** With the job that reads it, while one does. */
export interface Doc extends Row { job: Job | null }

const SIZE = 100
const page = (base: string, number: number) => get('/knowledge_base/documents', { knowledge_base_name: base, page: number, page_size: SIZE })
const AT_REST = new Set(['ready', 'failed', 'stored'])
export const isWorking = (row: { state: string }) => !AT_REST.has(row.state)

/** The documents of a knowledge base; those that are being read are followed until they are done. `onDone`: that, or there are more or fewer of them. */
export function useDocuments(base: string, onDone: () => void) {
  const items = ref<Doc[]>([])
  const total = ref(0)
  const isLoaded = ref(false)
  const elsewhere = new Set<string>()
  let pages = 1
  let asked = 0
  let answered = 0

  async function load(): Promise<void> {
    const turn = ++asked
    const rows: Row[] = []
    let count = 0
    for (let number = 1; number <= pages; number++) {
      const found = await page(base, number)
      rows.push(...found.items)
      count = found.total
      if (rows.length >= found.total)
        break
    }
    const jobs = rows.some(isWorking) ? (await listJobs(base, 'open', 1, 500)).items : []
    // One that was asked for later is there already.
    if (turn < answered)
      return
    answered = turn
    const byDocument = new Map(jobs.filter(isOpen).reverse().map(job => [job.document_id, job]))
    const worked = items.value.some(isWorking)
    const counted = isLoaded.value && total.value !== count
    items.value = rows.map(row => ({ ...row, job: byDocument.get(row.document_id) ?? null }))
    total.value = count
    isLoaded.value = true
    if (counted || (worked && !rows.some(isWorking)))
      onDone()
    watching.turn()
  }
  const soon = useSoon(load)

  function take(job: Job): void {
    const item = items.value.find(one => one.document_id === job.document_id)
    const isNews = item ? item.state !== job.stage : !elsewhere.has(job.job_id)
    elsewhere.add(job.job_id)
    if (item && isOpen(job))
      Object.assign(item, { job, state: job.stage })
    // What it is searched by, what became of it: the document tells.
    if (isNews)
      soon()
  }

  const watching = useJobWatch(base, { onJob: take, onGone: soon, look: load, isWanted: () => items.value.some(isWorking) })

  async function more(): Promise<void> {
    pages += 1
    await load()
  }

  /** A file; of a replacement that could not be read only that, and what is searched stays. */
  async function remove(item: Row): Promise<void> {
    if (item.replaces_ready_version)
      await deleteVersion(base, item.file_name, item.document_id)
    else
      await post('/knowledge_base/delete_docs', { knowledge_base_name: base, file_names: [item.file_name], delete_content: true, not_refresh_vs_cache: false })
    await load()
  }

  /** Read a file once more, cut as it was to be; what came from elsewhere does not say how. */
  async function again({ file_name, chunking }: Row): Promise<void> {
    await post('/knowledge_base/update_docs', { knowledge_base_name: base, file_names: [file_name], ...(chunking.chunk_size ? chunking : {}), override_custom_docs: false, docs: '{}', not_refresh_vs_cache: false })
    await load()
  }

  /** Stop reading it. */
  async function cancel(item: Doc): Promise<void> {
    if (item.job)
      await cancelJob(item.job.job_id)
    await load()
  }

  return { items, total, isLoaded, refresh: load, more, remove, again, cancel }
}
