import { describe, expect, it } from 'vitest'
import { Blocks } from '@/markdown/blocks'
import { makeParser } from '@/markdown/parser'
import { sanitise } from '@/markdown/sanitise'

function show(text: string): HTMLElement {
  const place = document.createElement('div')
  place.innerHTML = new Blocks(3).update(text, true).map(block => block.html).join('')
  return place
}

describe('what an answer may do', () => {
  it.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '[click](javascript:alert(1))',
    '[click](data:text/html;base64,PHNjcmlwdD4=)',
    '![x](javascript:alert(1))',
    '<a href="#" onclick="alert(1)">x</a>',
    '```"><img src=x onerror=alert(1)>\ncode\n```',
    '$<img src=x onerror=alert(1)>$',
    '[x]: javascript:alert(1)\n\n[x]',
    '<svg><animate onbegin=alert(1)>',
  ])('is no more than text: %s', (text) => {
    const place = show(text)
    expect(place.querySelector('script, img, svg, iframe, style')).toBeNull()
    for (const element of place.querySelectorAll('*')) {
      expect(element.getAttributeNames().filter(name => name.startsWith('on') || name === 'style')).toEqual([])
      expect(element.getAttribute('href') ?? 'https:').toMatch(/^(?:https?:|mailto:)/)
    }
  })

  it('shows where a link leads, and opens it without a word about us', () => {
    const link = show('[the rules](https://evil.example/a?b)').querySelector('a')
    expect(link?.textContent).toBe('the rules evil.example')
    expect(link?.rel).toContain('noopener')
    expect(link?.rel).toContain('noreferrer')
    expect(link?.target).toBe('_blank')
  })

  it('makes no link of an address that hides its host behind a name', () => {
    for (const text of ['<https://bank.com@evil.example/y>', 'https://bank.com@evil.example/y', '[bank](https://bank.com:443@evil.example/)'])
      expect(show(text).querySelector('a')?.href ?? '').not.toContain('evil')
    expect(show('<https://bank.com/@you>').querySelector('a')?.textContent).toBe('https://bank.com/@you')
  })

  it('takes no longer for formulas that never end than for words', () => {
    const blocks = ['$$ a\n\n', '\\[ a\n\n', '> $$ a\n\n', 'x\\(', '$$$ a ']
    for (const block of blocks) {
      const text = block.repeat(20_000)
      const begun = performance.now()
      makeParser().render(text, { sources: 0 })
      expect(performance.now() - begun, block).toBeLessThan(5000)
    }
    expect(show('> $$\n\n$$\na\n$$').querySelector('.display')?.getAttribute('data-tex')).toBe('a')
  }, 30_000)

  it('never loads an image: it is a link with its host', () => {
    const place = show('![chart](https://tracker.example/p.png)')
    expect(place.querySelector('img')).toBeNull()
    expect(place.querySelector('a.image')?.textContent).toBe('chart tracker.example')
  })

  it('has a second wall behind the parser', () => {
    expect(sanitise('<p onclick="x" style="color:red">a<img src="x"><style>b{}</style></p>')).toBe('<p>a</p>')
    expect(sanitise('<a href="javascript:x">a</a>')).toBe('<a>a</a>')
  })

  it('keeps a full stop with the citation before it', () => {
    const place = show('Fifteen days [1]. More')
    expect(place.querySelector('.glued')?.textContent).toBe('1.')
    expect(place.textContent?.replace(/\u2060/g, '').trim()).toBe('Fifteen days1. More')
  })

  it('makes no formula of prices', () => {
    expect(show('from $5 to $10 a day').querySelector('.math')).toBeNull()
    expect(show('$x^2$').querySelector('.math')?.getAttribute('data-tex')).toBe('x^2')
    expect(show('$$\na\n\nb\n$$').querySelector('.display')?.getAttribute('data-tex')).toBe('a\n\nb')
  })
})
