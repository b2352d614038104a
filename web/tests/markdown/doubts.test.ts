import type { Check } from '@/api/answers'
import { expect, it } from 'vitest'
import { Blocks } from '@/markdown/blocks'
import { DOUBT, markDoubts } from '@/markdown/doubts'

function checkOf(text: string, sentence: string, numbers: number[], more: Partial<Check> = {}): Check {
  const start = [...text.slice(0, text.indexOf(sentence))].length
  return { start, end: start + [...sentence].length, numbers, verified: false, reason: 'number', ...more }
}

function shown(text: string, checks: Check[]): string[] {
  const place = document.createElement('div')
  place.innerHTML = new Blocks(3).update(markDoubts(text, checks), true).map(block => block.html).join('')
  expect(place.innerHTML).not.toContain(DOUBT)
  return [...place.querySelectorAll('.cite')].map(cite => `${(cite as HTMLElement).dataset.cite}${cite.classList.contains('doubtful') ? '?' : ''}`)
}

it('marks what the failing sentence cites, and nothing else, counted in code points', () => {
  const text = '🙂 Ten days [1]. Twenty days [1][2]. Thirty [2].'
  expect(shown(text, [checkOf(text, 'Twenty days [1][2].', [1, 2]), checkOf(text, 'Ten days [1].', [1], { verified: true, reason: null })])).toEqual(['1', '1?', '2?', '2'])
})

it('marks the ones below a table', () => {
  const text = '| a | b |\n|---|---|\n| c | 5 |\n\n[1][2]\n\nMore [1].'
  expect(shown(text, [checkOf(text, '| c | 5 |', [1, 2])])).toEqual(['1?', '2?', '1'])
})

it('says nothing of sources in another language', () => {
  const text = 'Ten days [1].'
  expect(markDoubts(text, [checkOf(text, text, [1], { reason: 'language' })])).toBe(text)
})

it('leaves links, code and formulas as they are', () => {
  const text = 'See [1](https://a.example/) and `a[2]` and $x[3]$ and so on [1].'
  const place = document.createElement('div')
  place.innerHTML = new Blocks(3).update(markDoubts(text, [checkOf(text, text, [1, 2, 3])]), true).map(block => block.html).join('')
  expect(place.querySelector('a')?.getAttribute('href')).toBe('https://a.example/')
  expect(place.querySelector('code')?.textContent).toBe('a[2]')
  expect(place.querySelector('.math')?.getAttribute('data-tex')).toBe('x[3]')
  expect(place.querySelectorAll('.doubtful')).toHaveLength(1)
})

it('moves no block when an answer is judged', () => {
  const text = 'One [1].\n\nTwo [2].\n\n```mermaid\ngraph LR\n```\n'
  const blocks = new Blocks(3)
  const before = blocks.update(text, false).map(block => block.at)
  const after = blocks.update(markDoubts(text, [checkOf(text, 'One [1].', [1]), checkOf(text, 'Two [2].', [2])]), true)
  expect(after.map(block => block.at)).toEqual(before)
  expect(after[1]!.html).toContain('doubtful')
})
