/** The rows of a CSV or TSV text. Quoted cells may hold separators, line ends and doubled quotes. */
export function parseTable(text: string, name: string): string[][] {
  const separator = /\.tsv$/i.test(name) ? '\t' : separatorOf(text)
  const rows: string[][] = [[]]
  let cell = ''
  let isQuoted = false
  const body = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n')
  for (let i = 0; i < body.length; i++) {
    const char = body[i]!
    if (isQuoted) {
      if (char !== '"') {
        cell += char
      }
      else if (body[i + 1] === '"') {
        cell += '"'
        i++
      }
      else {
        isQuoted = false
      }
    }
    else if (char === '"' && cell === '') {
      isQuoted = true
    }
    else if (char === separator || char === '\n') {
      rows.at(-1)!.push(cell)
      cell = ''
      if (char === '\n')
        rows.push([])
    }
    else {
      cell += char
    }
  }
  rows.at(-1)!.push(cell)
  return rows.filter(row => row.length > 1 || row[0] !== '')
}

function separatorOf(text: string): string {
  const line = text.slice(0, text.indexOf('\n') + 1 || text.length)
  return [',', ';', '\t'].sort((a, b) => line.split(b).length - line.split(a).length)[0]!
}
