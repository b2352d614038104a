/** A piece of text on a page, as pdf.js tells it. */
export interface TextItem {
  str: string
  transform: number[]
  width: number
  height: number
}

/** A part of an item, in characters. */
export interface Mark {
  item: TextItem
  from: number
  to: number
}

// What is shorter stands in too many places.
const SHORTEST = 6

/** What of a page says these words: sentence by sentence, since a passage may begin on the page before and lines are broken anew. */
export function findMarks(items: TextItem[], wanted: string): Mark[] {
  const places: [TextItem, number][] = []
  let solid = ''
  for (const item of items) {
    for (let i = 0; i < item.str.length; i++) {
      if (/\S/.test(item.str[i]!)) {
        solid += item.str[i]
        places.push([item, i])
      }
    }
  }
  const marks = new Map<TextItem, Mark>()
  let last = 0
  for (const sentence of sentencesOf(wanted)) {
    let at = solid.indexOf(sentence, last)
    if (at < 0)
      at = solid.indexOf(sentence)
    if (at < 0)
      continue
    last = at + sentence.length
    for (const [item, i] of places.slice(at, last)) {
      const mark = marks.get(item)
      marks.set(item, mark ? { item, from: Math.min(mark.from, i), to: Math.max(mark.to, i + 1) } : { item, from: i, to: i + 1 })
    }
  }
  return [...marks.values()]
}

function sentencesOf(text: string): string[] {
  const parts = (text.match(/(?:\.(?!\s)|[^。！？；!?;\n.])+[。！？；!?;.]?/g) ?? []).map(part => part.replace(/\s+/g, ''))
  const long = parts.filter(part => part.length >= SHORTEST)
  return long.length ? long : [text.replace(/\s+/g, '')].filter(Boolean)
}

/** Left, bottom, right, top of a mark in the page's own measures. */
export function boxOf({ item, from, to }: Mark): [number, number, number, number] {
  const [, , , , x = 0, y = 0] = item.transform
  const size = item.height || Math.hypot(item.transform[2] ?? 0, item.transform[3] ?? 0)
  const step = item.width / item.str.length
  return [x + from * step, y - size * 0.2, x + to * step, y + size * 0.95]
}
