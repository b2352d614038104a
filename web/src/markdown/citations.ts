import type { MarkdownIt } from 'markdown-it'
import type { Context } from './parser'
import { DOUBT } from './doubts'

// Behind one that was not verified stands a mark, see doubts.ts.
const MARK = /\[(\d{1,2})\](?![(:[])\u2063?|\[(\d{1,2})\]\u2063?(?=\[\d{1,2}\])/y

const STOP = /[。，；、！？：）.,;!?]?/y

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
    // A full stop behind it does not stand alone on the next line.
    STOP.lastIndex = state.pos + found[0].length
    const stop = STOP.exec(state.src)?.[0] ?? ''
    if (!silent) {
      // Nor does the number: the space before it is none where a line may end.
      state.pending = state.pending.replace(/[ \t]+$/, '')
      const token = state.push('citation', '', 0)
      token.content = String(number)
      token.info = stop
      token.meta = { isDoubtful: found[0].endsWith(DOUBT) }
    }
    state.pos += found[0].length + stop.length
    return true
  })
  md.renderer.rules.citation = (tokens, index) => {
    const { content: number, info: stop, meta } = tokens[index]!
    const { isDoubtful } = meta as { isDoubtful: boolean }
    const button = `<button type="button" class="cite${isDoubtful ? ' doubtful' : ''}" data-cite="${number}">${number}${isDoubtful ? '?' : ''}</button>`
    // Glued to the word before it.
    return stop ? `\u2060<span class="glued">${button}${stop}</span>` : `\u2060${button}`
  }
}
