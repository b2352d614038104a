import type { Page } from 'playwright-core'
import { Buffer } from 'node:buffer'
import { expect, it } from 'vitest'
import { askSamples, useBrowser, whole } from './support'

const { enter } = useBrowser()

async function newSet(page: Page, name: string): Promise<void> {
  await page.locator('.manage .card', { hasText: '员工手册' }).click()
  await page.getByRole('link', { name: '评测' }).click()
  await page.getByRole('button', { name: '新建问题集' }).click()
  await page.getByLabel('名称').fill(name)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { name }).waitFor()
}

it('a run is cancelled, and what it has measured can be looked at, the worst first', async () => {
  const page = await enter('editor', {}, 'manage')
  await newSet(page, `取消 ${Date.now()}`)
  const rows = Array.from({ length: 1200 }, (_, n) => `第 ${n} 次问，病假怎么申请？,${n === 30 ? '没有.md' : '员工手册.md'}`)
  await page.locator('input[type=file]').setInputFiles({ name: '题.csv', mimeType: 'text/csv', buffer: Buffer.from(`问题,出处文件\n${rows.join('\n')}\n`) })
  await page.getByText('新增 1200 个').waitFor()
  await page.getByRole('button', { name: '开始评测' }).click()
  const sheet = page.getByRole('dialog')
  await sheet.getByLabel('名称').fill('很长')
  await sheet.getByRole('button', { name: '开始', exact: true }).click()
  const run = page.locator('.run', { hasText: '很长' })
  // Beyond the question that finds nothing.
  await run.getByText(/正在评测 · 已完成 (?:[4-9]\d|\d{3}) \/ 1200/).waitFor({ timeout: 60_000 })
  await run.getByRole('button', { name: '取消' }).click()
  await run.getByText(/已取消 · 已完成 \d+ \/ 1200/).waitFor()
  await run.getByRole('link').click()
  await page.getByText(/已取消 · 已完成 \d+ \/ 1200/).waitFor()
  const worst = page.locator('.result').first()
  await worst.waitFor()
  expect(await worst.textContent()).toContain('第 30 次问')
  const shown = await page.locator('.result').count()
  if (await page.getByRole('button', { name: '显示更多' }).count()) {
    await page.getByRole('button', { name: '显示更多' }).click()
    await expect.poll(() => page.locator('.result').count()).toBeGreaterThan(shown)
  }
}, 120_000)

it('an answer that a reader liked becomes a question of a set', async () => {
  const question = `工作满 5 年有几天年假？（第 ${Date.now()} 次）`
  const reader = await enter()
  await askSamples(reader, question)
  await whole(reader)
  await reader.getByRole('button', { name: '有帮助', exact: true }).click()
  await reader.locator('.actions [aria-pressed=true]').waitFor()

  const page = await enter('editor', {}, 'manage')
  await newSet(page, `评价 ${Date.now()}`)
  await page.getByRole('button', { name: '从评价过的回答添加' }).click()
  const sheet = page.getByRole('dialog')
  const item = sheet.locator('.item', { hasText: question })
  await item.getByRole('button', { name: '加入' }).click()
  await item.getByRole('button', { name: '已加入' }).waitFor()
  await page.keyboard.press('Escape')
  await sheet.waitFor({ state: 'detached' })
  const taken = page.locator('.item', { hasText: question })
  await taken.waitFor()
  // What the answer cited is what should be found.
  expect(await taken.textContent()).toMatch(/\.(?:md|pdf|docx|xlsx)/)
  await page.getByRole('button', { name: '开始评测' }).click()
  await sheet.getByRole('button', { name: '开始', exact: true }).click()
  await page.locator('.run a', { hasText: '召回率' }).waitFor({ timeout: 60_000 })
})
