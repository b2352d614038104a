import type { MarkdownIt } from 'markdown-it'
import type { Context } from './parser'
import { DOUBT, withoutDoubts } from './doubts'
import { makeParser } from './parser'
import { sanitise } from './sanitise'

/** A piece of an answer that stands for itself: a paragraph, a list, a table, a code block. */
export interface Block {
  /** Where it begins in the text; a block keeps it for life. */
  at: number
  html: string
  /** No more text comes to it. */
  isDone: boolean
}

let parser: MarkdownIt | null = null

/**
 * A text that grows, as blocks. Only what comes after the last finished block is parsed again: a long answer costs as much
 * per piece as a short one.
 */
export class Blocks {
  #done: Block[] = []
  #text = ''
  /** Where the first unfinished block begins. */
  #from = 0
  readonly #context: Context
  /** How many characters were parsed so far: for the test that the end alone is parsed. */
  parsed = 0

  constructor(sources: number) {
    this.#context = { sources }
  }

  update(text: string, isWhole: boolean): Block[] {
    if (!text.startsWith(this.#text) || (this.#from > 0 && text.length < this.#from))
      this.#restart()
    this.#text = text
    const rest = text.slice(this.#from)
    const parts = this.#parse(rest)
    // Marks that come with the end move nothing: a drawing is not made again for them.
    const place = text.includes(DOUBT) ? (at: number) => withoutDoubts(text.slice(0, at)).length : (at: number) => at
    const blocks = parts.map(({ from, html }, index) => ({ at: place(this.#from + from), html, isDone: isWhole || index < parts.length - 1 }))
    const last = blocks.at(-1)
    if (!isWhole && last && blocks.length > 1) {
      this.#done = [...this.#done, ...blocks.slice(0, -1)]
      this.#from = last.at
      return [...this.#done, last]
    }
    return [...this.#done, ...blocks]
  }

  #restart(): void {
    this.#done = []
    this.#from = 0
  }

  #parse(text: string): { from: number, html: string }[] {
    this.parsed += text.length
    const md = parser ??= makeParser()
    const tokens = md.parse(text, this.#context)
    const starts = lineStarts(text)
    const parts: { from: number, html: string }[] = []
    let first = 0
    for (let index = 0, depth = 0; index < tokens.length; index++) {
      depth += tokens[index]!.nesting
      if (depth > 0)
        continue
      const from = starts[tokens[first]!.map?.[0] ?? 0] ?? 0
      parts.push({ from, html: sanitise(withoutDoubts(md.renderer.render(tokens.slice(first, index + 1), md.options, this.#context))) })
      first = index + 1
    }
    return parts
  }
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1))
    starts.push(at + 1)
  return starts
}
