import { describe, expect, it } from 'vitest'
import { Blocks } from '@/markdown/blocks'

const ANSWER = `# Leave

Staff get **15 days** [1], see [2][1] and [9].

| days | who |
|---:|---|
| 15 | all |

\`\`\`python
print("<b>")
\`\`\`

- one

- two

The end, $a+b$.`

function grown(text: string, step: number): Blocks {
  const blocks = new Blocks(2)
  for (let end = step; end < text.length; end += step)
    blocks.update(text.slice(0, end), false)
  return blocks
}

const html = (blocks: Blocks) => blocks.update(ANSWER, true).map(block => block.html).join('')

describe('blocks of a text that grows', () => {
  it.each([1, 3, 7, 40])('give what the whole text gives, in pieces of %i', (step) => {
    expect(html(grown(ANSWER, step))).toBe(html(new Blocks(2)))
  })

  it('keep a finished block as it is: the same object, so that it is not drawn again', () => {
    const blocks = new Blocks(0)
    const first = blocks.update('one\n\ntwo\n\nthr', false)[0]
    expect(first?.isDone).toBe(true)
    expect(blocks.update('one\n\ntwo\n\nthree', false)[0]).toBe(first)
  })

  it('parse the end alone', () => {
    const long = 'A paragraph of some length.\n\n'.repeat(200)
    const blocks = grown(long, 10)
    // Each piece anew would be a hundred times this.
    expect(blocks.parsed).toBeLessThan(long.length * 12)
  })

  it('begin anew when the text is another', () => {
    const blocks = new Blocks(0)
    blocks.update('one\n\ntwo\n\nthree', false)
    expect(blocks.update('other', true).map(block => block.html)).toEqual(['<p>other</p>\n'])
  })

  it('know citations up to the number of sources', () => {
    const whole = html(new Blocks(2))
    expect(whole.match(/data-cite="1"/g)).toHaveLength(2)
    expect(whole.match(/data-cite="2"/g)).toHaveLength(1)
    expect(whole).toContain('[9]')
  })

  it('take no style attribute from a table', () => {
    expect(html(new Blocks(0))).toContain('class="at-right"')
    expect(html(new Blocks(0))).not.toContain('style=')
  })
})
