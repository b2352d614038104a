import type { Slice } from './slices'

export type Laid = { kind: 'text' | 'heading' | 'quote', parts: Slice[] } | { kind: 'table', rows: Slice[][][] }

const ROW = /^\s*\|.*\|\s*$/
const RULE = /^[\s|:-]+$/
const QUOTE = /^\s*(?:>\s?)+/
const HEADING = /^\s*#{1,6}\s+/

/** A passage as people read it: lines with bars are a table, headings are no signs. `marks`: ranges of code points. */
export function layOut(text: string, marks: [number, number][] = []): Laid[] {
  const points = [...text]
  const isMarked = points.map((_, at) => marks.some(([start, end]) => at >= start && at < end))
  const laid: Laid[] = []
  let at = 0
  for (const line of text.split('\n')) {
    const start = at
    at += [...line].length + 1
    const last = laid.at(-1)
    if (ROW.test(line)) {
      // The line under a table's head.
      const row = RULE.test(line) ? null : cells(points, isMarked, start, at - 1)
      if (last?.kind === 'table')
        row && last.rows.push(row)
      else if (row)
        laid.push({ kind: 'table', rows: [row] })
      continue
    }
    const [kind, signs] = kindOf(line)
    const parts = cut(points, isMarked, start + signs, at - 1)
    if (kind !== 'heading' && last?.kind === kind)
      last.parts.push({ text: '\n', isMarked: false }, ...parts)
    else if (line.trim())
      laid.push({ kind, parts })
  }
  return laid
}

/** What a line is, and how many signs say so. */
function kindOf(line: string): ['heading' | 'quote' | 'text', number] {
  const heading = HEADING.exec(line)?.[0].length ?? 0
  const quote = QUOTE.exec(line)?.[0].length ?? 0
  return heading ? ['heading', heading] : quote ? ['quote', quote] : ['text', 0]
}

function cut(points: string[], isMarked: boolean[], start: number, end: number): Slice[] {
  const found: Slice[] = []
  for (let at = start; at < end; at++) {
    const last = found.at(-1)
    if (last && last.isMarked === isMarked[at])
      last.text += points[at]
    else
      found.push({ text: points[at]!, isMarked: isMarked[at]! })
  }
  return found
}

function cells(points: string[], isMarked: boolean[], start: number, end: number): Slice[][] {
  const bars: number[] = []
  for (let at = start; at < end; at++) {
    if (points[at] === '|' && points[at - 1] !== '\\')
      bars.push(at)
  }
  const isSpace = (at: number) => /\s/.test(points[at]!)
  return bars.slice(1).map((bar, index) => {
    let [from, to] = [bars[index]! + 1, bar]
    while (from < to && isSpace(from))
      from++
    while (to > from && isSpace(to - 1))
      to--
    return cut(points, isMarked, from, to)
  })
}
