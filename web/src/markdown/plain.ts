const SIGN = /^(?:`{3,}|~{3,})/
const FORMULA = /\$\$[\s\S]+?\$\$|\\\[[\s\S]+?\\\]|\\\(.+?\\\)|\$(?![\s$])(?:[^$\\\n]|\\.)*?(?:[^$\\\s]|\\\S)\$(?![\d$])/g

/** What is named instead of being spelt out. */
export interface Names {
  code: string
  formula: string
  drawing: string
}

/** An answer as it is read aloud: without signs, numbers of passages and the lines of tables; code and formulas by name only. */
export function plainText(markdown: string, names: Names): string {
  return withoutCode(markdown, names)
    .replace(FORMULA, ` ${names.formula} `)
    .replace(/^[|:\-\s]+$/gm, '')
    .replace(/[ \t]*\[\d{1,2}\]/g, '')
    .replace(/[#*`|$\\>\s]+/g, ' ')
    .trim()
}

function withoutCode(markdown: string, names: Names): string {
  const lines: string[] = []
  let open = ''
  for (const line of markdown.split('\n')) {
    const words = line.trim()
    const sign = SIGN.exec(words)?.[0]
    if (open) {
      if (sign?.startsWith(open) && sign === words)
        open = ''
    }
    else if (sign) {
      open = sign
      lines.push(/^mermaid\b/i.test(words.slice(sign.length).trim()) ? names.drawing : names.code)
    }
    else {
      lines.push(line)
    }
  }
  return lines.join('\n')
}
