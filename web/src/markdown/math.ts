import type { MarkdownIt } from 'markdown-it'

// Formulas are only marked here; KaTeX is loaded when there is one (enhance.ts).
const INLINE = /\\\((.+?)\\\)|\$(?![\s$])((?:[^$\\\n]|\\.)*?(?:[^$\\\s]|\\\S))\$(?![\d$])/y
const DISPLAY = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]/y

export function addMath(md: MarkdownIt): void {
  const { escapeHtml } = md.utils
  const mark = (tex: string, display: boolean) =>
    `<span class="math${display ? ' display' : ''}" data-tex="${escapeHtml(tex.trim())}">${escapeHtml(tex.trim())}</span>`

  md.inline.ruler.before('escape', 'math', (state, silent) => {
    const sign = state.src[state.pos]
    if (sign !== '$' && sign !== '\\')
      return false
    for (const [form, name] of [[DISPLAY, 'math_display'], [INLINE, 'math_inline']] as const) {
      form.lastIndex = state.pos
      const found = form.exec(state.src)
      if (!found)
        continue
      if (!silent)
        state.push(name, '', 0).content = found[1] ?? found[2] ?? ''
      state.pos += found[0].length
      return true
    }
    return false
  })

  // A formula of its own lines may hold empty ones.
  md.block.ruler.before('fence', 'math_block', (state, first, last, silent) => {
    const line = (n: number) => state.src.slice(state.bMarks[n]! + state.tShift[n]!, state.eMarks[n]).trim()
    const open = line(first)
    const close = open.startsWith('$$') ? '$$' : open.startsWith('\\[') ? '\\]' : null
    if (!close || state.sCount[first]! - state.blkIndent >= 4)
      return false
    const isWhole = open.length > 4 && open.endsWith(close)
    let end = first
    while (!isWhole && ++end < last && !line(end).endsWith(close));
    if (!isWhole && end >= last)
      return false
    if (silent)
      return true
    const text = Array.from({ length: end - first + 1 }, (_, n) => line(first + n)).join('\n')
    const token = state.push('math_block', '', 0)
    token.block = true
    token.content = text.slice(2, -2)
    token.map = [first, end + 1]
    state.line = end + 1
    return true
  }, { alt: ['paragraph', 'reference', 'blockquote', 'list'] })

  md.renderer.rules.math_inline = (tokens, index) => mark(tokens[index]!.content, false)
  md.renderer.rules.math_display = (tokens, index) => mark(tokens[index]!.content, true)
  md.renderer.rules.math_block = (tokens, index) => `<p>${mark(tokens[index]!.content, true)}</p>\n`
}
