import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { useBrowser } from './support'

const text = (name: string, words: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(words) })

describe('knowledge bases', () => {
  const { enter } = useBrowser()

  it('are made, filled, tried and deleted on a phone', async () => {
    const page = await enter('editor', {}, 'manage')
    await page.getByRole('button', { name: '新建知识库' }).click()
    await page.getByLabel('名称').fill('产品手册')
    await page.getByLabel('介绍').fill('产品怎么用')
    await page.getByRole('button', { name: '建立' }).click()
    await page.getByText('还没有文件').waitFor()

    await page.locator('.zone input[type=file]').first().setInputFiles([text('保修.txt', '本产品整机保修三十六个月，电池保修十二个月。'), text('空.txt', ' ')])
    await page.locator('.list', { hasText: '保修.txt' }).getByText('B · 1 段').waitFor()
    await page.locator('.bad').first().waitFor()
    await page.locator('.header .subtitle', { hasText: '2 个文件' }).waitFor()
    const reason = page.locator('.reason')
    expect((await reason.boundingBox())!.width).toBeGreaterThan(300)
    // Nothing that another try would mend.
    await page.locator('.zone input[type=file]').first().setInputFiles({ name: '零.txt', mimeType: 'text/plain', buffer: Buffer.alloc(0) })
    await page.getByText('文件是空的').waitFor()
    expect(await page.getByRole('button', { name: '重试' }).count()).toBe(0)
    await page.getByRole('button', { name: '取消 零.txt' }).click()

    await page.locator('.zone input[type=file]').first().setInputFiles(text('保修.txt', '本产品整机保修四十八个月，电池保修十二个月。'))
    await page.getByRole('button', { name: '替换' }).click()
    await page.getByRole('button', { name: '替换' }).waitFor({ state: 'detached' })

    await page.getByRole('link', { name: '命中测试' }).click()
    await page.getByLabel('输入问题，看看能检索到什么').fill('整机保修多久')
    await expect.poll(async () => {
      await page.getByRole('button', { name: '检索', exact: true }).click()
      return page.locator('.hit').first().textContent()
    }).toContain('四十八个月')
    await page.locator('.hit .file').click()
    await page.getByRole('dialog').locator('mark').waitFor()
    await page.keyboard.press('Escape')

    await page.getByRole('link', { name: '推荐问题' }).click()
    await page.getByRole('button', { name: '添加问题' }).click()
    await page.getByLabel('问题', { exact: true }).fill('保修多久？')
    await page.getByLabel('预设回答').fill('两年。')
    await page.getByRole('button', { name: '保存' }).click()
    await page.getByText('有预设回答').waitFor()

    await page.getByRole('link', { name: '设置' }).click()
    await page.getByLabel('名称').fill('新产品手册')
    await page.getByRole('button', { name: '保存' }).click()
    await page.getByRole('heading', { name: '新产品手册' }).waitFor()
    await page.getByRole('button', { name: '删除知识库' }).click()
    await page.getByRole('dialog').getByRole('button', { name: '删除', exact: true }).click()
    await page.waitForURL(/\/manage$/)
    await page.locator('.card').first().waitFor()
    expect(await page.getByText('新产品手册').count()).toBe(0)
  })
})
