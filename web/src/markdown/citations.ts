import type { MarkdownIt } from 'markdown-it'
import type { Context } from './parser'

const MARK = /\[(\d{1,2})\](?![(:[])|\[(\d{1,2})\](?=\[\d{1,2}\])/y

/** `[2]` becomes a button, where there is a second passage; elsewhere it stays what it is. */
export function addCitations(md: MarkdownIt): void {
  md.inline.ruler.before('link', 'citation', (state, silent) => {
    if (state.src.charCodeAt(state.pos) !== 0x5B)
      return false
    MARK.lastIndex = state.pos
    const found = MARK.exec(state.src)
    const number = Number(found?.[1] ?? found?.[2])
    if (!found || number < 1 || number > (state.env as Context).sources)
      return false
    if (!silent)
      state.push('citation', '', 0).content = String(number)
    state.pos += found[0].length
    return true
  })
  md.renderer.rules.citation = (tokens, index) => {
    const number = tokens[index]!.content
    // Glued to the word before it.
    return `\u2060<button type="button" class="cite" data-cite="${number}">${number}</button>`
  }
}
