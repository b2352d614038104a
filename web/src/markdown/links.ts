import type { MarkdownIt } from 'markdown-it'

export function hostOf(address: string): string {
  try {
    const url = new URL(address)
    return url.protocol === 'mailto:' ? url.pathname : url.host
  }
  catch {
    return ''
  }
}

/** `https://bank.com@evil.example` leads to evil.example, whatever it looks like. */
function namesSomebody(address: string): boolean {
  try {
    const { protocol, username, password } = new URL(address)
    return protocol !== 'mailto:' && username + password !== ''
  }
  catch {
    return true
  }
}

/** Links tell where they lead; only http(s) and mail, never a place in this page. Images are never loaded: they are links, too. */
export function addLinks(md: MarkdownIt): void {
  md.validateLink = address => /^(?:https?:\/\/|mailto:)/i.test(address.trim()) && !namesSomebody(address.trim())
  const { escapeHtml } = md.utils
  const hosts: string[] = []

  md.renderer.rules.link_open = (tokens, index) => {
    const address = String(tokens[index]!.attrGet('href') ?? '')
    const host = hostOf(address)
    // An address that is its own text shows its host already.
    hosts.push(tokens[index]!.markup === 'linkify' || tokens[index]!.markup === 'autolink' ? '' : host)
    return `<a href="${escapeHtml(address)}" target="_blank" rel="noopener noreferrer nofollow">`
  }
  md.renderer.rules.link_close = () => {
    const host = hosts.pop()
    return host ? ` <span class="host">${escapeHtml(host)}</span></a>` : '</a>'
  }
  md.renderer.rules.image = (tokens, index) => {
    const token = tokens[index]!
    const address = String(token.attrGet('src') ?? '')
    const words = escapeHtml(token.content || hostOf(address))
    return `<a class="image" href="${escapeHtml(address)}" target="_blank" rel="noopener noreferrer nofollow">${words} <span class="host">${escapeHtml(hostOf(address))}</span></a>`
  }
}
