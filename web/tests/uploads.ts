import { vi } from 'vitest'

export interface Sent { form: FormData, answer: (status: number, body: unknown) => void, progress: (percent: number) => void, wasAborted: boolean }

/** Uploads that wait for their answers. */
export function catchUploads(): Sent[] {
  const sent: Sent[] = []
  vi.stubGlobal('XMLHttpRequest', class {
    upload: { onprogress?: (event: object) => void } = {}
    status = 0
    responseText = ''
    onload = () => {}
    onloadend = () => {}
    onabort = () => {}
    #mine: Sent | null = null
    open() {}
    setRequestHeader() {}
    getResponseHeader() { return null }
    abort() {
      this.#mine!.wasAborted = true
      this.onabort()
    }

    send(form: FormData) {
      const answer = (status: number, body: unknown) => {
        this.status = status
        this.responseText = JSON.stringify(body)
        this.onload()
        this.onloadend()
      }
      const progress = (percent: number) => this.upload.onprogress?.({ lengthComputable: true, loaded: percent, total: 100 })
      this.#mine = { form, answer, progress, wasAborted: false }
      sent.push(this.#mine)
    }
  })
  return sent
}
