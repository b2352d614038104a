export interface Slice { text: string, isMarked: boolean }

/** A text cut at ranges of code points, which do not overlap and are in order. */
export function slices(text: string, ranges: [number, number][]): Slice[] {
  const points = [...text]
  const found: Slice[] = []
  let at = 0
  const take = (to: number, isMarked: boolean) => {
    if (to > at)
      found.push({ text: points.slice(at, to).join(''), isMarked })
    at = Math.max(at, to)
  }
  for (const [start, end] of ranges) {
    take(Math.min(start, points.length), false)
    take(Math.min(end, points.length), true)
  }
  take(points.length, false)
  return found
}

/** Where a passage stands in the text of its file, whatever became of spaces and line ends; from its beginning, if not as a whole. */
export function locate(text: string, passage: string): [number, number] | null {
  const places: number[] = []
  let solid = ''
  for (let i = 0; i < text.length; i++) {
    if (/\S/.test(text[i]!)) {
      solid += text[i]
      places.push(i)
    }
  }
  const wanted = passage.replace(/\s+/g, '')
  if (!wanted)
    return null
  for (const length of [wanted.length, 60, 24]) {
    const at = length <= wanted.length ? solid.indexOf(wanted.slice(0, length)) : -1
    if (at >= 0)
      return [places[at]!, places[Math.min(at + wanted.length, places.length) - 1]! + 1]
  }
  return null
}
