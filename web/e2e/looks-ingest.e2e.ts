import { Buffer } from 'node:buffer'
import { describe, it } from 'vitest'
import { caller } from './base'
import { check, LOOKS } from './looks'
import { useBrowser } from './support'

const rule = (n: number) => `## 第${n}条\n\n编号 ${n * 7919} 的事项由第 ${n % 97} 组办理，办理人须在 ${n % 30 + 1} 日内答复，逾期的要向主管说明原因并登记备查。\n\n`
const rules = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => rule(from + n)).join('')
const file = (name: string, text: string) => ({ name, mimeType: 'text/markdown', buffer: Buffer.from(text) })
const BROKEN = { name: '扫描件.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\nbroken') }

// What becomes of files, as editors see it.
describe.each(LOOKS)('what becomes of files, on a %s', (name, look) => {
  const { enter } = useBrowser()
  const words = (zh: string, en: string) => look.language === 'en' ? en : zh

  it('can be followed by everybody', async () => {
    const { makeBase, dropBase } = await caller()
    const base = await makeBase('规章制度', { '办事规则.md': rules(0, 60) })
    const page = await enter('editor', look, `manage/${base}`)
    await page.locator('.zone input[type=file]').first().setInputFiles([file('全部规则.md', rules(0, 4000)), BROKEN])
    await page.locator('.found').waitFor({ timeout: 60_000 })
    await check(page, `reading-${name}`)
    await page.locator('.jobs').click()
    await page.locator('progress').waitFor()
    await check(page, `jobs-${name}`)
    await dropBase(base)
  }, 120_000)

  it('can be cut and changed by everybody', async () => {
    const { makeBase, dropBase } = await caller()
    const base = await makeBase('规章制度', { '办事规则.md': rules(0, 60) })
    const page = await enter('editor', look, `manage/${base}`)
    const sheet = page.getByRole('dialog')
    await page.locator('.zone input[type=file]').last().setInputFiles(file('新规则.md', rules(0, 8)))
    await sheet.locator('.way').nth(1).click()
    await check(page, `cutting-${name}`)
    await sheet.locator('.buttons .button').first().click()
    await sheet.locator('.passage').first().waitFor()
    await check(page, `preview-${name}`)
    await page.keyboard.press('Escape')
    await sheet.waitFor({ state: 'hidden' })

    await page.locator('.row .open', { hasText: '办事规则' }).click()
    await sheet.getByRole('link').first().waitFor()
    await check(page, `file-${name}`)
    await sheet.getByRole('link').first().click()
    await page.locator('.chunk').first().waitFor()
    await page.getByRole('button', { name: words('修改第 1 段', 'Edit passage 1'), exact: true }).click()
    await sheet.locator('textarea').fill(rule(0).replace('答复', '书面答复'))
    await check(page, `passage-${name}`)
    await sheet.locator('[type=submit]').click()
    await sheet.waitFor({ state: 'hidden' })
    await page.locator('.turn').nth(1).click()
    await page.locator('.mark.warn').waitFor()
    await check(page, `passages-${name}`)
    await dropBase(base)
  }, 120_000)

  it('can be compared and taken along by everybody', async () => {
    const { call, makeBase, dropBase } = await caller()
    const base = await makeBase('规章制度', { '办事规则.md': rules(0, 60) })
    const form = new FormData()
    Object.entries({ knowledge_base_name: base, wait: '60', override: 'true' }).forEach(([key, value]) => form.append(key, value))
    form.append('files', new Blob([rules(2, 62)]), '办事规则.md')
    await call('/knowledge_base/upload_docs', form)
    const page = await enter('editor', look, `manage/${base}/file?name=${encodeURIComponent('办事规则.md')}&tab=versions`)
    const sheet = page.getByRole('dialog')
    await page.locator('.version').nth(1).waitFor()
    await check(page, `versions-${name}`)
    await page.locator('.version').nth(1).getByRole('button').first().click()
    await sheet.locator('ins').first().waitFor()
    await check(page, `changed-${name}`)
    await page.keyboard.press('Escape')
    await sheet.waitFor({ state: 'hidden' })
    await page.goto(`${new URL(page.url()).origin}/h5/manage`)
    await page.getByRole('button', { name: words('导入知识库', 'Import a knowledge base') }).click()
    await sheet.waitFor()
    await check(page, `import-${name}`)
    await dropBase(base)
  }, 120_000)
})
