import { expect, it } from 'vitest'
import { filesOf } from '@/manage/dropped'
import { sizeOf } from '@/manage/sizes'

const file = (name: string) => new File(['x'], name)

it('what is dropped brings along what is in its folders, and nothing that systems hide', async () => {
  const entry = (name: string) => ({ isFile: true, file: (done: (file: File) => void) => done(file(name)) })
  const parts = [[entry('a.txt'), entry('.DS_Store')], [entry('b.txt')], []]
  const folder = { isFile: false, createReader: () => ({ readEntries: (done: (entries: unknown[]) => void) => done(parts.shift()!) }) }
  const dropped = { items: [{ webkitGetAsEntry: () => folder }], files: [] }
  expect((await filesOf(dropped as unknown as DataTransfer)).map(one => one.name)).toEqual(['a.txt', 'b.txt'])
  expect((await filesOf({ items: [], files: [file('c')] } as unknown as DataTransfer)).map(one => one.name)).toEqual(['c'])
})

it('sizes are told in few figures', () => {
  expect([0, 999, 1500, 12_345_678].map(bytes => sizeOf(bytes, 'en'))).toEqual(['0 byte', '999 byte', '1.5 kB', '12 MB'])
})
