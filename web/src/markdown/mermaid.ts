// Drawings are made in a sandboxed frame (public/drawing/) and shown as pictures: nothing in them can run or load anything.

interface Reply { ready?: boolean, id?: number, svg?: string }

let frame: Promise<HTMLIFrameElement> | null = null
let count = 0
const WAIT = 20_000

function open(): Promise<HTMLIFrameElement> {
  return new Promise((resolve, reject) => {
    const element = document.createElement('iframe')
    element.setAttribute('sandbox', 'allow-scripts')
    element.setAttribute('aria-hidden', 'true')
    element.tabIndex = -1
    element.className = 'quiet'
    element.src = `${import.meta.env.BASE_URL}drawing/frame.html`
    const timer = setTimeout(() => {
      element.remove()
      reject(new Error('no frame'))
    }, WAIT)
    window.addEventListener('message', function ready(event: MessageEvent<Reply>) {
      if (event.source !== element.contentWindow || !event.data.ready)
        return
      clearTimeout(timer)
      window.removeEventListener('message', ready)
      resolve(element)
    })
    document.body.append(element)
  })
}

async function render(text: string, dark: boolean): Promise<string> {
  // One that came too late is no reason to draw nothing any more.
  frame ??= open().catch((error: unknown) => {
    frame = null
    throw error
  })
  const element = await frame
  const id = ++count
  return new Promise((resolve) => {
    const done = (svg: string) => {
      clearTimeout(timer)
      window.removeEventListener('message', answer)
      resolve(svg)
    }
    const answer = (event: MessageEvent<Reply>) => event.source === element.contentWindow && event.data.id === id && done(event.data.svg ?? '')
    const timer = setTimeout(() => done(''), WAIT)
    window.addEventListener('message', answer)
    element.contentWindow?.postMessage({ id, text, dark }, '*')
  })
}

/** Puts the picture over its text; what cannot be drawn stays text. */
export async function draw(figure: HTMLElement, words: string, dark: boolean): Promise<void> {
  const drawn = dark ? 'dark' : 'light'
  if (figure.dataset.drawn === drawn)
    return
  figure.dataset.drawn = drawn
  const svg = await render(figure.querySelector('code')?.textContent ?? '', dark).catch(() => '')
  if (!svg)
    return
  const picture = document.createElement('img')
  picture.alt = words
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`
  figure.querySelector('img')?.remove()
  figure.append(picture)
  figure.classList.add('drawn')
}
