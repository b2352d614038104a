/** An answer as it is read aloud: without signs, numbers of passages and the lines of tables. */
export function plainText(markdown: string): string {
  return markdown
    .replace(/^[|:\-\s]+$/gm, '')
    .replace(/\[\d{1,2}\]/g, '')
    .replace(/[#*`|$\\>\s]+/g, ' ')
    .trim()
}
