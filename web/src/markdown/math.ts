import type { MarkdownIt } from 'markdown-it'

// Formulas are only marked here; KaTeX is loaded when there is one (enhance.ts).
// No formula is longer than this, so that many that never end cost no more than one time each.
const INLINE = /\\\((.{1,4000}?)\\\)|\$(?![\s$])((?:[^$\\\n]|\\.){0,4000}?(?:[^$\\\s]|\\\S))\$(?![\d$])/y
const DISPLAY = /\$\$([\s\S]{1,4000}?)\$\$|\\\[([\s\S]{1,4000}?)\\\]/y
/** Lines (from, to) in which a block's end was looked for in vain, so that it is not looked for again from each line. */
const endless = new WeakMap<object, Map<string, [number, number]>>()

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
    const vain = endless.get(state) ?? new Map<string, [number, number]>()
    endless.set(state, vain)
    const [from, to] = vain.get(close) ?? [0, -1]
    if (!isWhole && first >= from && last <= to)
      return false
    let end = first
    while (!isWhole && ++end < last && !line(end).endsWith(close));
    if (!isWhole && end >= last) {
      vain.set(close, [first, last])
      return false
    }
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
