import type { PDFDocumentProxy } from 'pdfjs-dist'
import type { Mark, TextItem } from './marks'
import type { FileRef } from '@/api/files'
import { getDocument, GlobalWorkerOptions, VerbosityLevel } from 'pdfjs-dist/legacy/build/pdf.mjs'
import workerAddress from 'pdfjs-dist/legacy/build/pdf.worker.min.mjs?url'
import { callerHeaders } from '@/api/client'
import { boxOf, findMarks } from './marks'

// pdf.js, for the one page that somebody looks at: it is read by ranges, never the whole file.
GlobalWorkerOptions.workerSrc = workerAddress
const OWN = `${import.meta.env.BASE_URL}pdf/`
// Sharp on phones, and no more pixels than they can hold.
const MOST_PIXELS = 12_000_000

export interface Shown {
  width: number
  height: number
  /** Percent of the page: left, top, width, height. */
  boxes: { kind: 'passage' | 'quote', place: [number, number, number, number] }[]
}

export function openPdf(file: FileRef) {
  return getDocument({
    url: file.address,
    httpHeaders: callerHeaders(),
    rangeChunkSize: 256 * 1024,
    disableAutoFetch: true,
    disableStream: true,
    cMapUrl: `${OWN}cmaps/`,
    standardFontDataUrl: `${OWN}fonts/`,
    wasmUrl: `${OWN}wasm/`,
    // The policy of the page lets no code be made at run time.
    useWasm: false,
    isEvalSupported: false,
    // A phone has no such font: nothing that anybody could mend.
    verbosity: VerbosityLevel.ERRORS,
  })
}

export async function widthOf(pdf: PDFDocumentProxy, number: number): Promise<number> {
  return (await pdf.getPage(number)).getViewport({ scale: 1 }).width
}

/** Draw a page `width` CSS pixels wide, and find what is to be marked on it. */
export async function drawPage(pdf: PDFDocumentProxy, number: number, canvas: HTMLCanvasElement, width: number, words: { passage: string, quote: string }): Promise<Shown> {
  const page = await pdf.getPage(number)
  const plain = page.getViewport({ scale: 1 })
  const scale = width / plain.width
  const viewport = page.getViewport({ scale })
  const ratio = Math.min(window.devicePixelRatio || 1, 2.5, Math.sqrt(MOST_PIXELS / (viewport.width * viewport.height)))
  // Drawn beside it: what is seen stays until it is done.
  const fresh = document.createElement('canvas')
  fresh.width = Math.floor(viewport.width * ratio)
  fresh.height = Math.floor(viewport.height * ratio)
  await page.render({ canvas: fresh, viewport: page.getViewport({ scale: scale * ratio }) }).promise
  canvas.width = fresh.width
  canvas.height = fresh.height
  canvas.getContext('2d')?.drawImage(fresh, 0, 0)
  // Phones give the memory back at once then.
  fresh.width = fresh.height = 0
  const { items } = await page.getTextContent()
  const texts = items.filter(item => 'str' in item) as TextItem[]
  const place = (mark: Mark): [number, number, number, number] => {
    const [x1, y1, x2, y2] = plain.convertToViewportRectangle(boxOf(mark)) as [number, number, number, number]
    const of = (value: number, whole: number) => 100 * value / whole
    return [of(Math.min(x1, x2), plain.width), of(Math.min(y1, y2), plain.height), of(Math.abs(x2 - x1), plain.width), of(Math.abs(y2 - y1), plain.height)]
  }
  const boxes = (['passage', 'quote'] as const).flatMap(kind => findMarks(texts, words[kind]).map(mark => ({ kind, place: place(mark) })))
  return { width: viewport.width, height: viewport.height, boxes }
}
