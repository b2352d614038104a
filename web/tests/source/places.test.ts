import { describe, expect, it } from 'vitest'
import { fileOf, kindOf } from '@/api/files'
import { boxOf, findMarks } from '@/pdf/marks'
import { marked } from '@/sessions/marked'
import { layOut } from '@/source/laid'
import { locate, slices } from '@/source/slices'
import { parseTable } from '@/source/table'

const item = (str: string, x = 0, y = 0) => ({ str, transform: [10, 0, 0, 10, x, y], width: 10 * str.length, height: 10 })

describe('a passage', () => {
  it('is cut at what the answer quotes, in code points', () => {
    expect(slices('😀年假十五天。', [[1, 3], [5, 6]])).toEqual([
      { text: '😀', isMarked: false },
      { text: '年假', isMarked: true },
      { text: '十五', isMarked: false },
      { text: '天', isMarked: true },
      { text: '。', isMarked: false },
    ])
    expect(slices('abc', [])).toEqual([{ text: 'abc', isMarked: false }])
    expect(slices('abc', [[1, 99]]).at(-1)).toEqual({ text: 'bc', isMarked: true })
  })

  it('is found in its file whatever became of spaces, and by its beginning when its end was changed', () => {
    expect(locate('# A\n\n年假  十五\n天。', '年假十五天。')).toEqual([5, 14])
    const long = 'one two three four five six seven'
    expect(locate(`x ${long} nine`, `${long} eight`)?.[0]).toBe(2)
    expect(locate('nothing', 'else')).toBeNull()
    expect(locate('nothing', ' ')).toBeNull()
  })

  it('knows where its file is', () => {
    expect(fileOf({ number: 1, text: '', file_name: 'a b.pdf', kb_name: 'kb' }, 's')?.address).toBe('/knowledge_base/download_doc?knowledge_base_name=kb&file_name=a+b.pdf')
    expect(fileOf({ number: 1, text: '', file_name: 'a.txt', kb_name: null, attached: true, document_id: 'd' }, 's')?.address).toBe('/session/files/content?session_id=s&document_id=d')
    expect(fileOf({ number: 1, text: '', url: 'https://a.example/' }, 's')).toBeNull()
    expect(['A.PDF', 'a.jpeg', 'a.md', 'a.tsv', 'a.json', 'a.docx', 'pdf'].map(kindOf)).toEqual(['pdf', 'image', 'markdown', 'table', 'text', 'other', 'other'])
  })
})

describe('a passage as it is read', () => {
  const plain = (text: string) => layOut(text).map(block => block.kind === 'table' ? block.rows.map(row => row.map(cell => cell.map(part => part.text).join(''))) : [block.kind, block.parts.map(part => part.text).join('')])

  it('has tables and headings instead of signs', () => {
    expect(plain('## 年假\n\n| 年限 | 天数 |\n| --- | ---: |\n| 满 1 年 | 5 \\| 6 |\n以上。\n完')).toEqual([
      ['heading', '年假'],
      [['年限', '天数'], ['满 1 年', '5 \\| 6']],
      ['text', '以上。\n完'],
    ])
  })

  it('has quotations without their signs', () => {
    expect(plain('前文。\n> 引用的话\n> > 第二行\n\n后文。')).toEqual([['text', '前文。'], ['quote', '引用的话\n第二行'], ['text', '后文。']])
  })

  it('keeps its marks within them', () => {
    const [table] = layOut('| 😀满 | 5 |', [[3, 4]])
    expect(table).toMatchObject({ rows: [[[{ text: '😀', isMarked: false }, { text: '满', isMarked: true }], [{ text: '5', isMarked: false }]]] })
  })
})

describe('marks on a page', () => {
  it('cover what is said over several pieces, and no more', () => {
    const items = [item('第一条 前言。'), item('员工每年享有'), item('年假 十五天。其他')]
    const marks = findMarks(items, '员工每年享有年假十五天。')
    expect(marks.map(({ item, from, to }) => item.str.slice(from, to))).toEqual(['员工每年享有', '年假 十五天。'])
  })

  it('take the sentences that are on this page of a passage that began on another', () => {
    const marks = findMarks([item('sentence that is here. Another one')], 'Something of the page before. A sentence that is here.')
    expect(marks).toEqual([])
    const found = findMarks([item('A sentence that is here. Another one')], 'Something of the page before. A sentence that is here.')
    expect(found[0]?.item.str.slice(0, found[0].to)).toBe('A sentence that is here.')
  })

  it('stand where their letters stand', () => {
    expect(boxOf({ item: item('abcd', 100, 50), from: 1, to: 3 })).toEqual([110, 48, 130, 59.5])
  })
})

describe('a table', () => {
  it('keeps separators, line ends and quotes of quoted cells', () => {
    expect(parseTable('\uFEFFa,b\r\n"1,5","x ""y""\nz"\r\n', 't.csv')).toEqual([['a', 'b'], ['1,5', 'x "y"\nz']])
  })

  it('finds out what separates its cells', () => {
    expect(parseTable('a;b\n1,5;2', 't.csv')).toEqual([['a', 'b'], ['1,5', '2']])
    expect(parseTable('a\tb', 't.tsv')).toEqual([['a', 'b']])
  })
})

it('words that were searched for are marked in whatever case', () => {
  expect(marked('About LEAVE and leave', ' leave ').filter(part => part.isMarked).map(part => part.text)).toEqual(['LEAVE', 'leave'])
  expect(marked('abc', '')).toEqual([{ text: 'abc', isMarked: false }])
})
