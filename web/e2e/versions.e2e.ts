import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { caller } from './base'
import { useBrowser } from './support'

const { enter } = useBrowser()

it('what changed between two versions is seen, an old one is had, and comes back', async () => {
  const { call, makeBase, dropBase } = await caller()
  const base = await makeBase('版本', { '制度.txt': '年假每年十天。' })
  const form = new FormData()
  Object.entries({ knowledge_base_name: base, wait: '60', override: 'true' }).forEach(([key, value]) => form.append(key, value))
  form.append('files', new Blob(['年假每年十五天。'], { type: 'text/plain' }), '制度.txt')
  await call('/knowledge_base/upload_docs', form)

  const page = await enter('editor', {}, `manage/${base}`)
  await page.locator('.row').getByRole('button', { name: '制度.txt', exact: true }).click()
  const sheet = page.getByRole('dialog')
  await sheet.getByRole('link', { name: '版本' }).click()
  const old = page.locator('.version').nth(1)
  await page.locator('.version').first().getByText('当前版本').waitFor()
  await old.getByRole('button', { name: /^比较/ }).click()
  await sheet.getByText('新增 1 段，删去 1 段，0 段没有变。').waitFor()
  expect(await sheet.locator('ins').textContent()).toContain('新增：年假每年十五天。')
  expect(await sheet.locator('del').textContent()).toContain('删去：年假每年十天。')
  await page.keyboard.press('Escape')
  await sheet.waitFor({ state: 'hidden' })

  const download = page.waitForEvent('download')
  await old.getByRole('button', { name: /^下载/ }).click()
  expect(await readFile(await (await download).path(), 'utf8')).toBe('年假每年十天。')
  await old.getByRole('button', { name: /^恢复/ }).click()
  await sheet.getByRole('button', { name: '恢复' }).click()
  await page.getByText('已恢复').waitFor()
  await page.getByRole('link', { name: '段落' }).click()
  await page.locator('.chunk', { hasText: '年假每年十天' }).waitFor()
  await dropBase(base)
}, 90_000)

it('a knowledge base is taken along as one file, and comes in under another name', async () => {
  const { makeBase, dropBase, call } = await caller()
  const base = await makeBase('带走', { '保修.txt': '整机保修三十六个月。' })
  const page = await enter('editor', {}, `manage/${base}/about`)
  // No window of the system's opens here.
  await page.evaluate(() => Object.assign(window, { showSaveFilePicker: undefined }))
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: '导出知识库' }).click()
  const file = await readFile(await (await download).path())
  expect(file.subarray(0, 2).toString()).toBe('PK')

  await page.goto(`${new URL(page.url()).origin}/h5/manage`)
  await page.getByRole('button', { name: '导入知识库' }).click()
  const sheet = page.getByRole('dialog')
  const pick = (name: string, buffer: Buffer) => sheet.locator('input[type=file]').setInputFiles({ name, mimeType: 'application/zip', buffer })
  await pick('不是.zip', Buffer.from('nothing of the kind'))
  await sheet.getByRole('button', { name: '导入', exact: true }).click()
  await sheet.locator('.problem').waitFor()
  await pick('带走.zip', file)
  await sheet.getByLabel('标识').fill(`${base}-2`)
  await sheet.getByRole('button', { name: '导入', exact: true }).click()
  await sheet.getByText('1 个文件').waitFor({ timeout: 60_000 })
  await sheet.getByText('向量模型相同').waitFor()
  await sheet.getByRole('button', { name: '打开' }).click()
  await page.locator('.row', { hasText: '保修.txt' }).getByText('B · 1 段').waitFor()
  const { hits } = await call('/knowledge_base/explain', { knowledge_base_name: `${base}-2`, query: '整机保修多久', top_k: 1 }) as { hits: { text: string }[] }
  expect(hits[0]?.text).toContain('三十六个月')
  await dropBase(base)
  await dropBase(`${base}-2`)
}, 120_000)
