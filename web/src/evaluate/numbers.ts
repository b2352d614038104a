import type { Estimate } from './api'

export const percent = (share: number) => `${(100 * share).toFixed(share === 1 || share === 0 ? 0 : 1)}%`

export const interval = ({ low, high }: Estimate) => `${percent(low)}–${percent(high)}`

/** The first thing that should be found, by rank; nothing of it is at the end. */
export function firstRank(ranks: (number | null)[]): number | null {
  const found = ranks.filter(rank => rank !== null)
  return found.length ? Math.min(...found) : null
}

/** How sure a difference is, as a word. */
export function sureness(p: number): 'sure' | 'likely' | 'chance' {
  return p < 0.01 ? 'sure' : p < 0.05 ? 'likely' : 'chance'
}
