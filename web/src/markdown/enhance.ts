/** What a finished block gets on top: colours of code, formulas, drawings. Each loads its library when the first one is met. */
export async function enhance(element: HTMLElement, words: { drawing: string }, isDark: boolean): Promise<void> {
  await Promise.all([setFormulas(element), ...codes(element), ...drawings(element, words.drawing, isDark)])
}

export async function setFormulas(element: HTMLElement): Promise<void> {
  const places = element.querySelectorAll<HTMLElement>('.math[data-tex]:not(.set)')
  if (!places.length)
    return
  const { setFormula } = await import('./katex')
  places.forEach(setFormula)
}

function* codes(element: HTMLElement): Generator<Promise<void>> {
  for (const code of element.querySelectorAll<HTMLElement>('.code:not(.drawing):not([data-language=""]) code:not(.set)'))
    yield import('./highlight').then(({ colour }) => colour(code, code.closest<HTMLElement>('.code')?.dataset.language ?? ''))
}

function* drawings(element: HTMLElement, words: string, isDark: boolean): Generator<Promise<void>> {
  for (const figure of element.querySelectorAll<HTMLElement>('.drawing'))
    yield import('./mermaid').then(({ draw }) => draw(figure, words, isDark))
}
