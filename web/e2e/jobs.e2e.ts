import { Buffer } from 'node:buffer'
import { it } from 'vitest'
import { caller } from './base'
import { useBrowser } from './support'

const { enter } = useBrowser()
const sentence = (n: number) => `第${n}条：编号 ${n * 7919} 的事项由第 ${n % 97} 组办理，办理人须在 ${n % 30 + 1} 日内答复，逾期的要向主管说明原因并登记备查。`
const long = Array.from({ length: 4000 }, (_, n) => sentence(n)).join('\n')

it('a file that is being read tells how far it is, is found by its words early, is stopped, and tried again', async () => {
  const { makeBase, dropBase } = await caller()
  const base = await makeBase('任务', { '短.txt': '一句话。' })
  const page = await enter('editor', {}, `manage/${base}`)
  await page.locator('.row', { hasText: '短.txt' }).getByText('B · 1 段').waitFor()
  await page.locator('.zone input[type=file]').first().setInputFiles([
    { name: '长.txt', mimeType: 'text/plain', buffer: Buffer.from(long) },
    { name: '坏.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\nnothing of the kind') },
  ])
  const row = page.locator('.row', { hasText: '长.txt' })
  await row.getByText(/正在向量化 \d+% · \d+ 段 · (?:约剩 \d+|马上)/).waitFor({ timeout: 60_000 })
  await row.getByText('已能按字词找到，语义检索随后').waitFor()
  await page.locator('.row', { hasText: '坏.pdf' }).locator('.reason').waitFor()

  await page.getByRole('link', { name: '处理记录' }).click()
  const job = page.locator('.row', { hasText: '长.txt' })
  // As the server tells it: nothing is asked for meanwhile.
  await job.getByText(/正在向量化 \d+%/).waitFor()
  await page.getByRole('button', { name: '取消处理 长.txt' }).click()
  await job.getByText('已取消').waitFor()
  await page.getByText('失败', { exact: true }).click()
  await page.locator('.row', { hasText: '坏.pdf' }).locator('.reason').waitFor()
  await page.locator('.row', { hasText: '短.txt' }).waitFor({ state: 'detached' })
  await page.getByRole('button', { name: '重试 坏.pdf' }).click()
  await page.getByText('全部', { exact: true }).click()
  await page.locator('.row', { hasText: '坏.pdf' }).getByText(/处理失败/).waitFor({ timeout: 30_000 })
  await page.getByText('完成', { exact: true }).click()
  await page.locator('.row', { hasText: '短.txt' }).getByText('完成 · 1 段').waitFor()
  await dropBase(base)
}, 120_000)
