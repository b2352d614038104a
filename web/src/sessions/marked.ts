import type { Slice } from '@/source/slices'

/** A text cut where it says the words that were searched for, in whatever case. */
export function marked(text: string, words: string): Slice[] {
  const wanted = words.trim().toLowerCase()
  const lower = text.toLowerCase()
  // Letters whose other case is longer would shift all places behind them.
  if (!wanted || lower.length !== text.length)
    return [{ text, isMarked: false }]
  const slices: Slice[] = []
  let at = 0
  for (let found = lower.indexOf(wanted); found >= 0; found = lower.indexOf(wanted, at)) {
    if (found > at)
      slices.push({ text: text.slice(at, found), isMarked: false })
    at = found + wanted.length
    slices.push({ text: text.slice(found, at), isMarked: true })
  }
  if (at < text.length)
    slices.push({ text: text.slice(at), isMarked: false })
  return slices
}
