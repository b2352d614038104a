import DOMPurify from 'dompurify'

const TAGS = ['a', 'blockquote', 'br', 'button', 'code', 'del', 'div', 'em', 'figcaption', 'figure', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's', 'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul']
// Words, not addresses.
const PLAIN = ['class', 'data-cite', 'data-copy', 'data-language', 'data-tex', 'rel', 'start', 'tabindex', 'target', 'type']
const CONFIG = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: [...PLAIN, 'href'],
  ADD_URI_SAFE_ATTR: PLAIN,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
}

/** The second wall: what the parser made is HTML of these tags, or it is not shown. */
export function sanitise(html: string): string {
  return DOMPurify.sanitize(html, CONFIG)
}
