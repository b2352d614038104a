import type { Check } from '@/api/answers'

/** Stands behind a citation that was not verified; nobody sees it, and nothing but the parser gets it. */
export const DOUBT = '\u2063'

const CITATION = /\[(\d{1,2})\](?![(:]|\[(?!\d{1,2}\]))/g

export const isDoubtful = (check: Check) => !check.verified && check.reason !== 'language'

/** The text with a mark behind each citation that its check did not bear out; those of a table stand on a line below it. */
export function markDoubts(text: string, checks: Check[]): string {
  const failing = checks.filter(isDoubtful)
  if (!failing.length)
    return text
  const points = [...text]
  const unitsAt = (end: number) => points.slice(0, end).join('').length
  const citations = [...text.matchAll(CITATION)].map(found => ({ number: Number(found[1]), at: found.index, end: found.index + found[0].length }))
  const ends = new Set<number>()
  for (const check of failing) {
    const [start, end] = [unitsAt(check.start), unitsAt(check.end)]
    const own = citations.filter(({ number, at }) => at >= start && at < end && check.numbers.includes(number))
    // Behind the end only what stands together there.
    const first = own.length ? undefined : citations.find(({ at }) => at >= end)
    const below = first ? citations.filter(({ number, at }) => check.numbers.includes(number) && at >= first.at && !text.slice(first.at, at).includes('\n')) : []
    for (const one of [...own, ...below])
      ends.add(one.end)
  }
  return citations.filter(({ end }) => ends.has(end)).reduceRight((marked, { end }) => marked.slice(0, end) + DOUBT + marked.slice(end), text)
}

/** Where a place of a marked text is in the plain one. */
export const withoutDoubts = (text: string) => text.replaceAll(DOUBT, '')
