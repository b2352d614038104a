import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ask, useBrowser, whole } from './support'

describe('conversations', () => {
  const { enter } = useBrowser()

  it('are found by what was said, renamed, pinned, exported, and deleted unless that is taken back', async () => {
    const page = await enter()
    await page.locator('.card').first().click()
    await ask(page, '请原样重复：独一无二的词儿')
    await whole(page)
    await page.getByRole('button', { name: '返回' }).click()
    await page.getByRole('button', { name: '会话', exact: true }).click()
    await page.getByRole('searchbox').fill('独一无二')
    await page.locator('.snippet mark').first().waitFor()
    const row = page.locator('.row', { hasText: '独一无二' }).first()

    await row.getByRole('button').click()
    await page.getByRole('button', { name: '重命名' }).click()
    await page.getByRole('textbox', { name: '会话名称' }).fill('新名字')
    await page.getByRole('button', { name: '确定' }).click()
    const renamed = page.locator('.row', { hasText: '新名字' })
    await renamed.waitFor()

    await renamed.getByRole('button').click()
    await page.getByRole('button', { name: '置顶' }).click()
    await page.getByRole('heading', { name: '置顶' }).waitFor()

    await renamed.getByRole('button').click()
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: '导出 Markdown' }).click()
    const file = await download
    expect(file.suggestedFilename()).toBe('新名字.md')
    expect(await readFile(await file.path(), 'utf8')).toContain('独一无二的词儿')

    await renamed.getByRole('button').click()
    await page.getByRole('dialog').getByRole('button', { name: '删除' }).click()
    await renamed.waitFor({ state: 'detached' })
    await page.getByRole('button', { name: '撤销' }).click()
    await renamed.waitFor()
    await renamed.getByRole('button').click()
    await page.getByRole('dialog').getByRole('button', { name: '删除' }).click()
    await renamed.waitFor({ state: 'detached' })
    // Whoever leaves has decided.
    await page.reload()
    await page.getByRole('searchbox').fill('独一无二')
    await page.getByText('没有找到').waitFor()
  })

  it('keep how they are answered, and their older messages stay where they are read', async () => {
    const page = await enter()
    await page.locator('.card').first().click()
    for (let n = 0; n < 12; n++) {
      await ask(page, `请原样重复：第 ${n} 个回答\n\n${'一行\n\n'.repeat(8)}`)
      await whole(page)
    }
    await page.getByRole('button', { name: '对话设置' }).click()
    await page.getByRole('slider', { name: '参考的段落' }).fill('7')
    await page.keyboard.press('Escape')
    await page.reload()
    await page.getByRole('button', { name: '对话设置' }).click()
    expect(await page.getByRole('slider', { name: '参考的段落' }).inputValue()).toBe('7')
    await page.keyboard.press('Escape')
    expect(await page.locator('.message').count()).toBe(10)
    const first = page.locator('.message', { hasText: '第 2 个回答' })
    await page.getByRole('region', { name: '对话内容' }).evaluate((box) => { box.scrollTop = 300 })
    const before = (await first.boundingBox())!.y
    await page.getByRole('region', { name: '对话内容' }).evaluate((box) => { box.scrollTop -= 80 })
    await page.locator('.message', { hasText: '第 0 个回答' }).waitFor()
    expect((await first.boundingBox())!.y - before).toBeCloseTo(80, -1)
  })
})
