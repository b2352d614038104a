import type { ReadPassage } from '@/api/reading'

/** A row of a sheet: its number in the file, and what stands in each column. */
export interface ReadRow {
  number: number
  cells: string[]
  isCited: boolean
}

/** What stands under one heading, on one slide, in one sheet, at one time of a recording. */
export interface Part {
  kind: 'sheet' | 'slide' | 'page' | 'text'
  title: string
  columns: string[]
  rows: ReadRow[]
  passages: { text: string, isCited: boolean }[]
}

const PAIR = /^([^:\n]{1,80}): (.*)$/
const solid = (text: string) => text.replace(/\s+/g, '')
const words = (value: unknown) => value === undefined || value === null ? '' : String(value)

/** What was read of a file, put together as it stands there. Cited: the passage of this id, or what says the same. */
export function putTogether(items: ReadPassage[], cited: { id?: number | null | undefined, text: string }): Part[] {
  const parts: Part[] = []
  let last = ''
  const wanted = solid(cited.text)
  const isThere = items.some(item => item.chunk_id === cited.id)
  for (const { chunk_id, text, anchor } of items) {
    const isCited = isThere ? chunk_id === cited.id : wanted !== '' && wanted.includes(solid(text))
    const key = JSON.stringify([anchor.sheet, anchor.slide, anchor.page, anchor.heading, anchor.time])
    if (key !== last || !parts.length)
      parts.push(begin(anchor))
    last = key
    const part = parts.at(-1)!
    if (part.kind === 'sheet' && anchor.row !== undefined)
      addRow(part, Number(anchor.row), text, isCited)
    else
      part.passages.push({ text: part.passages.length ? text : withoutTitle(text, part.title), isCited })
  }
  return parts
}

function begin(anchor: Record<string, unknown>): Part {
  const rest = { columns: [], rows: [], passages: [] }
  const heading = words(anchor.heading).split(' > ').at(-1) || words(anchor.time)
  if (anchor.sheet !== undefined)
    return { kind: 'sheet', title: [words(anchor.sheet), heading].filter(Boolean).join(' · '), ...rest }
  if (anchor.slide !== undefined)
    return { kind: 'slide', title: words(anchor.slide), ...rest }
  return anchor.page === undefined ? { kind: 'text', title: heading, ...rest } : { kind: 'page', title: words(anchor.page), ...rest }
}

/** A section begins with its heading, which stands above it already. */
function withoutTitle(text: string, title: string): string {
  const line = text.split('\n', 1)[0]!
  return title && line.replace(/^#+\s+/, '').trim() === title ? text.slice(line.length + 1) : text
}

/** "name: value" per line; a line without a name goes on with the cell before it. */
function addRow(part: Part, number: number, text: string, isCited: boolean): void {
  let row = part.rows.at(-1)
  // A very long row is several passages.
  if (row?.number !== number)
    part.rows.push(row = { number, cells: [], isCited })
  row.isCited ||= isCited
  let column = -1
  for (const line of text.split('\n')) {
    const [, name, value] = PAIR.exec(line) ?? []
    if (name === undefined) {
      column = Math.max(0, column)
      part.columns[column] ??= ''
      row.cells[column] = [row.cells[column], line].filter(Boolean).join('\n')
      continue
    }
    column = part.columns.indexOf(name)
    if (column < 0)
      column = part.columns.push(name) - 1
    row.cells[column] = value ?? ''
  }
}
