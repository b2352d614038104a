import type { Job, JobFilter } from '@/api/jobs'
import { ref, watch } from 'vue'
import { cancelJob, isOpen, listJobs, retryFailed, retryJob } from '@/api/jobs'
import { useJobWatch } from './useJobWatch'
import { useSoon } from './useSoon'

const SIZE = 50

/** What is, was and will be done in a knowledge base, the newest first; what is open is followed. */
export function useJobs(base: string) {
  const filter = ref<JobFilter>('')
  const items = ref<Job[]>([])
  const total = ref(0)
  const isLoaded = ref(false)
  let pages = 1
  let asked = 0
  let answered = 0

  /** An answer to an older wish is dropped. */
  async function load(): Promise<void> {
    const turn = ++asked
    const wanted = filter.value
    const rows: Job[] = []
    let count = 0
    for (let number = 1; number <= pages; number++) {
      const found = await listJobs(base, wanted, number, SIZE)
      rows.push(...found.items)
      count = found.total
      if (rows.length >= count)
        break
    }
    if (turn < answered || wanted !== filter.value)
      return
    answered = turn
    items.value = rows
    total.value = count
    isLoaded.value = true
    watching.turn()
  }
  const soon = useSoon(load)

  function take(job: Job): void {
    const index = items.value.findIndex(one => one.job_id === job.job_id)
    const before = items.value[index]
    if (before)
      items.value[index] = job
    // A new one, or one that belongs to another list now.
    if (before ? isOpen(before) !== isOpen(job) : filter.value === '' || filter.value === 'open')
      soon()
  }

  const watching = useJobWatch(base, { onJob: take, onGone: soon, look: load, isWanted: () => items.value.some(isOpen) })

  async function more(): Promise<void> {
    pages += 1
    await load()
  }

  const cancel = (job: Job) => cancelJob(job.job_id).then(load)
  const retry = (job: Job) => retryJob(job.job_id).then(load)

  /** Some hundred are taken at once. */
  async function retryAll(): Promise<number> {
    const { retried } = await retryFailed(base)
    filter.value = 'open'
    await load()
    return retried
  }

  watch(filter, () => { pages = 1 })

  return { filter, items, total, isLoaded, load, more, cancel, retry, retryAll }
}
