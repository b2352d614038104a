import type { Env, MarkdownIt } from 'markdown-it'
import Parser from 'markdown-it'
import { addCitations } from './citations'
import { addLinks } from './links'
import { addMath } from './math'

/** What the rules know of the answer that they stand in. */
export interface Context extends Env {
  /** `[n]` is a citation up to this number. */
  sources: number
}

function addCode(md: MarkdownIt): void {
  md.renderer.rules.fence = (tokens, index) => {
    const token = tokens[index]!
    const language = token.info.trim().split(/\s+/)[0] ?? ''
    const text = md.utils.escapeHtml(token.content)
    const name = md.utils.escapeHtml(language)
    const isDrawing = language.toLowerCase() === 'mermaid'
    return `<figure class="code${isDrawing ? ' drawing' : ''}" data-language="${name}"><figcaption><span>${name}</span>`
      + `<button type="button" class="copy" data-copy></button></figcaption><pre tabindex="0"><code>${text}</code></pre></figure>\n`
  }
  md.renderer.rules.code_block = (tokens, index) =>
    `<figure class="code" data-language=""><figcaption><span></span><button type="button" class="copy" data-copy></button></figcaption>`
    + `<pre tabindex="0"><code>${md.utils.escapeHtml(tokens[index]!.content)}</code></pre></figure>\n`
}

// A column's alignment comes as `style=`, which the policy of the page refuses.
function addTables(md: MarkdownIt): void {
  md.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>\n'
  md.renderer.rules.table_close = () => '</table></div>\n'
  for (const name of ['th_open', 'td_open']) {
    md.renderer.rules[name] = (tokens, index, options, _env, self) => {
      const token = tokens[index]!
      const side = /text-align:(\w+)/.exec(String(token.attrGet('style') ?? ''))?.[1]
      token.attrs = side ? [['class', `at-${side}`]] : []
      return self.renderToken(tokens, index, options)
    }
  }
}

export function makeParser(): MarkdownIt {
  const md = new Parser({ html: false, linkify: true, breaks: true, typographer: false })
  // "e.g. README.md" is no address: only what says http is.
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false })
  addCode(md)
  addTables(md)
  addLinks(md)
  addMath(md)
  addCitations(md)
  return md
}
