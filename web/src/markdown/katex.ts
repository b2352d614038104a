import katex from 'katex'
import 'katex/dist/katex.min.css'

/** By DOM nodes: KaTeX sets sizes by CSSOM then, which the policy of the page lets pass. */
export function setFormula(place: HTMLElement): void {
  place.classList.add('set')
  katex.render(place.dataset.tex ?? '', place, { displayMode: place.classList.contains('display'), throwOnError: false, trust: false, maxSize: 20, maxExpand: 300, strict: false })
}
