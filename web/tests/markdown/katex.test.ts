import { expect, it } from 'vitest'
import { setFormulas } from '@/markdown/enhance'

function formulas(...texts: string[]): HTMLElement {
  const place = document.createElement('div')
  for (const tex of texts) {
    const formula = document.createElement('span')
    formula.className = 'math'
    formula.dataset.tex = formula.textContent = tex
    place.append(formula)
  }
  return place
}

it('leaves what it cannot set as text, and sets what comes after it', async () => {
  const deep = `${'x^{'.repeat(900)}1${'}'.repeat(900)}`
  const place = formulas('{'.repeat(3000), deep, 'y'.repeat(5000), 'x^2')
  await setFormulas(place)
  const [, , long, good] = place.children
  for (const formula of place.children)
    expect(formula.textContent).not.toBe('')
  expect(long!.textContent).toBe('y'.repeat(5000))
  expect(good!.querySelector('.katex')).not.toBeNull()
})
