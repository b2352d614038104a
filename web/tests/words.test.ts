import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'

interface Words { [name: string]: string | Words }

const files = import.meta.glob<{ default: Words }>('../src/i18n/{zh,en}/*.ts', { eager: true })

function keys(words: Words, before = ''): string[] {
  return Object.entries(words).flatMap(([name, value]) => typeof value === 'string' ? `${before}${name}` : keys(value, `${before}${name}.`))
}

function known(language: string): Set<string> {
  const areas = Object.entries(files).filter(([name]) => name.includes(`/${language}/`))
  return new Set(areas.flatMap(([name, file]) => keys(file.default, `${path.basename(name, '.ts')}.`)))
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name)
    return entry.isDirectory() ? sources(name) : /\.(?:ts|vue)$/.test(name) ? [readFileSync(name, 'utf8')] : []
  })
}

it('both languages say the same things', () => {
  expect([...known('en')].sort()).toEqual([...known('zh')].sort())
})

it('whatever is said has words', () => {
  const used = sources(path.resolve(__dirname, '../src')).flatMap(text => [...text.matchAll(/\bt\('([\w.]+)'/g)].map(match => match[1] ?? ''))
  expect(used.length).toBeGreaterThan(50)
  expect(used.filter(key => !known('zh').has(key))).toEqual([])
})
