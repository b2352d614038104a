import type { FileRef } from '@/api/files'
import { ref } from 'vue'
import { readBlob } from '@/api/files'
import { useErrorText } from './useErrorText'
import { useToast } from './useToast'

export function saveAs(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  document.body.append(link)
  link.click()
  link.remove()
  // Phones read it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** Fetched with the credential, which no link carries, and then saved. */
export function useDownload() {
  const textOf = useErrorText()
  const { complain } = useToast()
  const isLoading = ref(false)

  async function download(file: FileRef): Promise<void> {
    isLoading.value = true
    try {
      saveAs(await readBlob(file), file.name)
    }
    catch (error) {
      complain(textOf(error))
    }
    finally {
      isLoading.value = false
    }
  }

  return { isLoading, download }
}
