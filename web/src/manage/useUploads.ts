import type { Labels } from './labels'
import type { Cut } from '@/api/chunks'
import { onScopeDispose, ref } from 'vue'
import { ApiError, isAborted } from '@/api/errors'
import { upload } from '@/api/upload'
import { cutFields } from '@/chunks/cut'
import { useErrorText } from '@/composables/useErrorText'
import { useTooLarge } from '@/composables/useTooLarge'
import { newId } from '@/ids'
import { fieldsOf } from './labels'

export interface Upload {
  key: string
  file: File
  state: 'waiting' | 'sending' | 'refused'
  percent: number
  reason: string
  /** There is one of the same name, which may be replaced. */
  isTaken: boolean
  /** The file was not at fault, or the sign-in: another try may help. */
  canRetry: boolean
  /** Cut in another way than the knowledge base does. */
  cut: Cut | null
}

const AT_ONCE = 2
interface Uploaded { failed_files: Record<string, string> }

/** What may be done about a refusal: an empty file stays empty, however often it is sent. */
function chancesOf(error: unknown): Pick<Upload, 'isTaken' | 'canRetry'> {
  const isTaken = error instanceof ApiError && error.code === 'already_exists'
  return { isTaken, canRetry: !(error instanceof ApiError) || error.isPassing || error.status === 401 }
}

/**
 * Files on their way to a knowledge base, each by itself, two at a time. What has arrived leaves this list.
 * `labels`: what is said of those that are sent from now on.
 */
export function useUploads(base: string, onArrived: () => void, labels?: () => Labels) {
  const textOf = useErrorText()
  const tooLarge = useTooLarge()
  const items = ref<Upload[]>([])
  const sending = new Map<string, AbortController>()

  function add(files: File[], cut: Cut | null = null): void {
    items.value.push(...files.map((file) => {
      const reason = tooLarge(file)
      return { key: newId(), file, state: reason ? 'refused' as const : 'waiting' as const, percent: 0, reason, isTaken: false, canRetry: false, cut }
    }))
    next()
  }

  function next(): void {
    for (const item of items.value.filter(item => item.state === 'waiting').slice(0, Math.max(0, AT_ONCE - sending.size)))
      void send(item, false)
  }

  async function send(item: Upload, override: boolean): Promise<void> {
    const controller = new AbortController()
    sending.set(item.key, controller)
    Object.assign(item, { state: 'sending', percent: 0, reason: '', isTaken: false })
    const form = new FormData()
    form.append('knowledge_base_name', base)
    form.append('override', String(override))
    const said = labels?.()
    said && fieldsOf(said).forEach(([name, value]) => form.append(name, value))
    item.cut && Object.entries(cutFields(item.cut)).forEach(([name, value]) => form.append(name, String(value)))
    form.append('files', item.file)
    try {
      const done = await upload<Uploaded>('/knowledge_base/upload_docs', form, (percent) => { item.percent = percent }, controller.signal)
      const reason = Object.values(done.failed_files)[0]
      if (reason !== undefined)
        throw new ApiError(422, 'refused', reason)
      drop(item)
      onArrived()
    }
    catch (error) {
      if (isAborted(error))
        drop(item)
      else
        Object.assign(item, { state: 'refused', reason: textOf(error), ...chancesOf(error) })
    }
    sending.delete(item.key)
    next()
  }

  function drop(item: Upload): void {
    items.value = items.value.filter(other => other.key !== item.key)
  }

  /** Stop sending it, or put the refusal away. */
  function cancel(item: Upload): void {
    sending.get(item.key)?.abort()
    drop(item)
  }

  const retry = (item: Upload, override = false) => void send(item, override)

  onScopeDispose(() => sending.forEach(controller => controller.abort()))

  return { items, add, cancel, retry }
}
