import katex from 'katex'
import 'katex/dist/katex.min.css'

/** Longer than any formula that people read. */
const LONGEST = 4000

/**
 * By DOM nodes: KaTeX sets sizes by CSSOM then, which the policy of the page lets pass. What it cannot set, say a thousand
 * braces in each other, stays the text that it is.
 */
export function setFormula(place: HTMLElement): void {
  const tex = place.dataset.tex ?? ''
  place.classList.add('set')
  try {
    if (tex.length <= LONGEST)
      render(tex, place)
  }
  catch {
    place.textContent = tex
  }
}

function render(tex: string, place: HTMLElement): void {
  katex.render(tex, place, { displayMode: place.classList.contains('display'), throwOnError: false, trust: false, maxSize: 20, maxExpand: 300, strict: false })
}
