// What a first visit loads: the entry, what it imports at once, and the home page. `npm run build` first.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const BUDGET = 150_000
const dist = new URL('../dist/', import.meta.url)
const gzip = name => gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length
const html = readFileSync(new URL('index.html', dist), 'utf8')
const first = new Set([...html.matchAll(/(?:src|href)="\/h5\/(assets\/[^"]+\.(?:js|css))"/g)].map(m => m[1]).filter(name => !/legacy|start-/.test(name)))

// The page and the words that come right after: named by their first letters, chunks carry their module's name.
const pages = process.argv.slice(2).length ? process.argv.slice(2) : ['HomePage', 'common', 'entry', 'home', 'chat']
function follow(name) {
  if (first.has(name))
    return
  first.add(name)
  for (const [, next] of readFileSync(new URL(name, dist), 'utf8').matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g))
    follow(`assets/${next}`)
}
for (const name of [...first].filter(name => name.endsWith('.js'))) {
  first.delete(name)
  follow(name)
}
const files = readdirSync(new URL('assets/', dist)).filter(name => /\.(?:js|css)$/.test(name))
const words = new Set()
for (const file of files) {
  const page = pages.find(page => file.startsWith(`${page}-`) && !file.includes('legacy'))
  // One language at a time.
  if (!page || (/^[a-z]/.test(page) && file.endsWith('.js') && words.has(page)))
    continue
  words.add(page)
  file.endsWith('.js') ? follow(`assets/${file}`) : first.add(`assets/${file}`)
}
let total = 0
for (const name of [...first].sort()) {
  total += gzip(name)
  console.log(`${String(gzip(name)).padStart(8)}  ${name}`)
}
console.log(`${String(total).padStart(8)}  of ${BUDGET}, gzip`)
process.exitCode = total > BUDGET ? 1 : 0
