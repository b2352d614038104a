import { request } from '@/api/client'
import { isAborted, NetworkError } from '@/api/errors'
import { saveAs } from '@/composables/useDownload'

interface Picked { createWritable: () => Promise<WritableStream<Uint8Array>> }
type Picker = (options: { suggestedName: string }) => Promise<Picked>

// Chromium on desktops; asked for at once, while the browser still knows of the click.
const pickerOf = () => (window as unknown as { showSaveFilePicker?: Picker }).showSaveFilePicker

function counted(onBytes: (bytes: number) => void): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0
  return new TransformStream({
    transform: (chunk, to) => {
      onBytes(bytes += chunk.byteLength)
      to.enqueue(chunk)
    },
  })
}

/**
 * Save what comes from an address with the caller's credential: into a file as it comes, where the browser lets a page write
 * one, else when it is whole. Raises what `request` raises, and the abort: also of somebody who chooses no file.
 */
export async function saveStream(address: string, name: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
  const picked = await pickerOf()?.({ suggestedName: name })
  const { body } = await request(address, { signal })
  const stream = body!.pipeThrough(counted(onBytes))
  try {
    if (picked)
      await stream.pipeTo(await picked.createWritable(), { signal })
    else
      saveAs(await new Response(stream).blob(), name)
  }
  catch (error) {
    throw isAborted(error) ? error : new NetworkError(error)
  }
}
