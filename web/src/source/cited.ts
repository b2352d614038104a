// What of a laid out text a passage of its source says, block by block.
const BLOCKS = 'p, li, tr, h1, h2, h3, h4, h5, h6, pre'
// What is shorter proves nothing by itself.
const ENDS = 16

/** Letters and digits only: signs of Markdown are not in what is laid out. */
const bare = (text: string) => text.replace(/[^\p{L}\p{N}]+/gu, '')

/** The blocks that this passage is made of: of several places that say the same, the one that says most of it. */
export function citedBlocks(root: ParentNode, passage: string): HTMLElement[] {
  const wanted = bare(passage)
  if (!wanted)
    return []
  const [first, last] = [wanted.slice(0, ENDS), wanted.slice(-ENDS)]
  let best: HTMLElement[] = []
  let most = 0
  let run: HTMLElement[] = []
  let said = 0
  for (const block of root.querySelectorAll<HTMLElement>(BLOCKS)) {
    const text = bare(block.textContent ?? '')
    // What holds others speaks through them.
    if (!text || block.querySelector(BLOCKS))
      continue
    // A passage may begin and end inside a paragraph.
    if (!wanted.includes(text) && !(wanted.length >= ENDS && (text.includes(first) || text.includes(last)))) {
      run = []
      said = 0
      continue
    }
    run.push(block)
    said += text.length
    if (said > most)
      [best, most] = [[...run], said]
  }
  return best
}
