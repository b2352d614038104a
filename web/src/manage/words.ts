/** Words that stand apart by commas (of either width) or 、. */
export const wordsOf = (line: string) => [...new Set(line.split(/[,，、]/).map(word => word.trim().replace(/\s+/g, ' ')).filter(Boolean))]

/** Lines of synonyms as groups, and the lines (from 1) that name fewer than two. */
export function groupsOf(text: string): { groups: string[][], alone: number[] } {
  const lines = text.split('\n').map(wordsOf)
  return { groups: lines.filter(words => words.length > 1), alone: lines.flatMap((words, index) => words.length === 1 ? [index + 1] : []) }
}
