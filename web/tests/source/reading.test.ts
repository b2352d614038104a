import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { inBase } from '@/api/files'
import { loadArea } from '@/i18n'
import { citedBlocks } from '@/source/cited'
import OriginalView from '@/source/OriginalView.vue'
import { putTogether } from '@/source/reading'
import { ok, plugins, serve, signIn } from '../support'

const row = (chunk_id: number, number: number, text: string) => ({ chunk_id, text, anchor: { sheet: '资产', row: number, range: `A${number}` } })
const SHEET = [row(7, 2, '编号: A1\n说明: 第一行\n第二行: 没有'), row(8, 3, '编号: A2\n数量: 3')]

describe('what was read of a file', () => {
  it('is a table where it was one, whatever cells are empty', () => {
    const [part] = putTogether(SHEET, { id: 8, text: '' })
    expect(part).toMatchObject({ kind: 'sheet', title: '资产', columns: ['编号', '说明', '第二行', '数量'] })
    expect(part!.rows.map(one => [one.number, one.isCited, one.cells[0]])).toEqual([[2, false, 'A1'], [3, true, 'A2']])
    expect(part!.rows[1]!.cells[3]).toBe('3')
  })

  it('keeps the lines of a cell together, and a row that was cut', () => {
    const [part] = putTogether([row(1, 2, '题目: 甲\n说明: 一\n二'), row(2, 2, '题目: 甲\n后文: 三')], { text: '' })
    expect(part!.rows).toEqual([{ number: 2, cells: ['甲', '一\n二', '三'], isCited: false }])
  })

  it('stands under its headings, which are told once', () => {
    const under = (heading: string, text: string, chunk_id: number) => ({ chunk_id, text, anchor: { heading } })
    const parts = putTogether([under('制度 > 一、总则', '一、总则\n适用于员工。', 1), under('制度 > 一、总则', '实习生参照。', 2), under('制度 > 二、审批', '二、审批\n提前两天。', 3)], { id: 99, text: '适用于 员工。实习生参照。' })
    expect(parts.map(part => [part.title, part.passages.map(one => [one.text, one.isCited])])).toEqual([
      ['一、总则', [['适用于员工。', false], ['实习生参照。', true]]],
      ['二、审批', [['提前两天。', false]]],
    ])
  })

  it('tells the time of what is said in a recording', () => {
    const said = (time: string, text: string, chunk_id: number) => ({ chunk_id, text, anchor: { time } })
    const parts = putTogether([said('00:00:01–00:01:00', '大家好。', 1), said('00:00:01–00:01:00', '我们开始。', 2), said('00:01:04–00:02:00', '年假十五天。', 3)], { id: 3, text: '' })
    expect(parts.map(part => [part.title, part.passages.map(one => [one.text, one.isCited])])).toEqual([
      ['00:00:01–00:01:00', [['大家好。', false], ['我们开始。', false]]],
      ['00:01:04–00:02:00', [['年假十五天。', true]]],
    ])
  })
})

describe('the original of a file that no browser shows', () => {
  beforeEach(() => signIn())

  async function show(items: unknown[]) {
    const calls = serve({
      'GET /knowledge_base/passages': (_, path) => ok({ items, total: 250, page: path.includes('page=2') || path.includes('near') ? 2 : 3, page_size: 100 }),
      'GET /knowledge_base/download_doc': () => new Response('x'),
    })
    const global = { plugins: [...await plugins()] }
    await loadArea('source')
    const scrolled = vi.fn()
    Element.prototype.scrollIntoView = scrolled
    const wrapper = mount(OriginalView, { props: { file: inBase('hr', 'a.xlsx'), chunkId: 8, passage: 'x' }, global })
    await vi.dynamicImportSettled()
    await flushPromises()
    return { wrapper, calls, scrolled }
  }

  it('is its text around the passage, which is marked', async () => {
    const { wrapper, calls, scrolled } = await show(SHEET)
    expect(calls[0]).toContain('near=8')
    expect(wrapper.get('tr.cited').text()).toContain('A2')
    expect(scrolled).toHaveBeenCalledOnce()
    expect(wrapper.get('.button').text()).toContain('Download')
    expect(wrapper.get('.pages').text()).toBe('2 / 3')
    await wrapper.get('[aria-label="Next page"]').trigger('click')
    expect(calls.at(-1)).toContain('page=3')
  })

  it('is a download where nothing could be read', async () => {
    const { wrapper } = await show([])
    expect(wrapper.text()).toContain('cannot be shown')
  })
})

describe('a passage in laid out Markdown', () => {
  it('is found by what it says, at the place that says most of it', () => {
    const root = document.createElement('div')
    root.innerHTML = '<p>试用期三个月。</p><h2>年假</h2><p>员工每年有<b>五天</b>年假。</p><ul><li>可以按半天申请</li></ul><table><tr><th>年限</th></tr><tr><td>满一年</td></tr></table><h2>附</h2><p>满一年</p>'
    const found = citedBlocks(root, '## 年假\n\n员工每年有**五天**年假。\n- 可以按半天申请\n\n| 年限 |\n| --- |\n| 满一年 |')
    expect(found.map(block => block.tagName)).toEqual(['H2', 'P', 'LI', 'TR', 'TR'])
    expect(citedBlocks(root, '没有的话，也就没有')).toEqual([])
  })

  it('may begin inside a paragraph', () => {
    const root = document.createElement('div')
    root.innerHTML = '<p>第一句在这里。第二句说的是每年都有十五天的带薪年假可以休。</p><p>第三句接着说。</p>'
    expect(citedBlocks(root, '第二句说的是每年都有十五天的带薪年假可以休。\n第三句接着说。')).toHaveLength(2)
  })
})
