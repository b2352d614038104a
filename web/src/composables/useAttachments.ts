import { computed, onScopeDispose, ref } from 'vue'
import { get, post } from '@/api/client'
import { ApiError, isAborted } from '@/api/errors'
import { upload } from '@/api/upload'
import { newId } from '@/ids'
import { isFresh } from '@/storage/fresh'
import { useErrorText } from './useErrorText'
import { usePolling } from './usePolling'
import { useTooLarge } from './useTooLarge'

export interface Attachment {
  key: string
  name: string
  /** sending, then the server's: waiting, parsing, embedding, ready, failed; refused: it was not taken. */
  state: string
  percent: number
  reason: string
  documentId: string
}

const AT_REST = new Set(['ready', 'failed', 'refused'])
interface Taken { document_id: string | null, file_name: string, state: string, reason: string | null }

/** The files of one conversation. `ensure`: the conversation must be known to the server before it takes any. */
export function useAttachments(sessionId: string, ensure: (fileName: string) => Promise<void>) {
  const textOf = useErrorText()
  const tooLarge = useTooLarge()
  const items = ref<Attachment[]>([])
  const isBusy = computed(() => items.value.some(item => !AT_REST.has(item.state)))
  const sending = new Map<string, AbortController>()

  async function load(): Promise<void> {
    const rows = await get('/session/files', { session_id: sessionId })
    const known = new Map(items.value.map(item => [item.documentId, item.key]))
    const stored = rows.map(row => ({
      key: known.get(row.document_id) ?? row.document_id,
      name: row.file_name,
      state: row.state,
      percent: row.percent,
      reason: row.reason ?? '',
      documentId: row.document_id,
    }))
    items.value = [...stored, ...items.value.filter(item => item.documentId === '')]
  }

  const polling = usePolling(load, () => items.value.some(item => item.documentId !== '' && !AT_REST.has(item.state)))

  /** What was attached before; a conversation that the server does not know has nothing. */
  async function start(): Promise<void> {
    if (isFresh(sessionId))
      return
    await load().catch((error: unknown) => {
      if (!(error instanceof ApiError && error.status === 404))
        throw error
    })
    polling.wake()
  }

  async function send(file: File): Promise<void> {
    items.value.push({ key: newId(), name: file.name, state: 'sending', percent: 0, reason: '', documentId: '' })
    const item = items.value.at(-1)!
    const reason = tooLarge(file)
    if (reason) {
      Object.assign(item, { state: 'refused', reason })
      return
    }
    const controller = new AbortController()
    sending.set(item.key, controller)
    try {
      await ensure(file.name)
      const form = new FormData()
      form.append('session_id', sessionId)
      form.append('files', file)
      const [taken] = await upload<Taken[]>('/session/files', form, (percent) => { item.percent = percent }, controller.signal)
      // One of the same name was replaced.
      items.value = items.value.filter(other => other === item || other.name !== taken?.file_name)
      Object.assign(item, { documentId: taken?.document_id ?? '', state: taken?.state ?? 'refused', reason: taken?.reason ?? '', percent: 0 })
    }
    catch (error) {
      if (isAborted(error))
        items.value = items.value.filter(other => other.key !== item.key)
      else
        Object.assign(item, { state: 'refused', reason: textOf(error) })
    }
    sending.delete(item.key)
    polling.wake()
  }

  async function add(files: File[]): Promise<void> {
    for (const file of files)
      await send(file)
  }

  async function remove(item: Attachment): Promise<void> {
    sending.get(item.key)?.abort()
    if (item.documentId)
      await post('/session/files/delete', { session_id: sessionId, document_id: item.documentId })
    items.value = items.value.filter(other => other.key !== item.key)
  }

  onScopeDispose(() => sending.forEach(controller => controller.abort()))

  return { items, isBusy, start, add, remove }
}
