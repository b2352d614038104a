import { Buffer } from 'node:buffer'
import { expect, it } from 'vitest'
import { caller } from './base'
import { useBrowser } from './support'

const { enter } = useBrowser()
const text = (name: string, words: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(words) })

it('documents are labelled at upload and later, found by their labels, and seen by whom they are for', async () => {
  const { makeBase, dropBase } = await caller()
  const base = await makeBase('制度', { '总则.txt': '😀 年假每年十天，总则这样规定。' })
  const page = await enter('editor', {}, `manage/${base}`)
  const row = (name: string) => page.locator('.row', { hasText: name })
  await row('总则.txt').waitFor()

  // At upload.
  await page.getByText('给接下来上传的文件加标签').click()
  await page.getByRole('textbox', { name: '标签' }).fill('人事，2024')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: '添加属性' }).click()
  await page.getByLabel('名称，例如：部门').fill('级别')
  await page.getByLabel('种类').selectOption('number')
  await page.getByRole('spinbutton', { name: '值' }).fill('3')
  await page.locator('.zone input[type=file]').first().setInputFiles([text('细则.txt', '年假满十年的有十五天，细则这样规定。'), text('薪酬.txt', '年假期间工资照发，薪酬这样规定。')])
  for (const name of ['细则.txt', '薪酬.txt']) {
    await row(name).getByText('B · 1 段').waitFor({ timeout: 30_000 })
    expect(await row(name).locator('.labels li').allTextContents().then(all => all.map(one => one.trim()))).toEqual(['人事', '2024', '级别: 3'])
  }

  // Later: for some people only.
  await row('薪酬.txt').getByRole('button', { name: '薪酬.txt', exact: true }).click()
  await page.getByRole('button', { name: '标签、属性与可见范围' }).click()
  const sheet = page.getByRole('dialog').last()
  await sheet.getByRole('button', { name: '去掉 2024' }).click()
  await sheet.getByText('只有指定的人').click()
  await sheet.getByRole('textbox', { name: '用户 ID' }).fill('somebody')
  await sheet.getByRole('button', { name: '保存' }).click()
  await page.locator('#labels').waitFor({ state: 'detached' })
  await page.keyboard.press('Escape')
  await sheet.waitFor({ state: 'hidden' })
  await row('薪酬.txt').getByText('仅 1 人可见').waitFor()
  expect(await row('薪酬.txt').getByText('2024').count()).toBe(0)

  // Found by them; the words of the question are marked where they stand.
  await page.getByRole('link', { name: '命中测试' }).click()
  await page.getByLabel('输入问题，看看能检索到什么').fill('年假怎么规定')
  const search = async () => {
    await page.getByRole('button', { name: '检索', exact: true }).click()
    await page.waitForLoadState('networkidle')
    return (await page.locator('.hit .file').allTextContents()).map(name => name.trim()).sort()
  }
  await expect.poll(search).toEqual(['总则.txt', '细则.txt', '薪酬.txt'].sort())
  expect(await page.locator('.hit', { hasText: '总则' }).locator('mark').allTextContents()).toContain('年假')
  await page.getByText('只在部分文件里找').click()
  await page.getByRole('combobox', { name: '标签' }).fill('2024')
  await page.keyboard.press('Tab')
  await expect.poll(search).toEqual(['细则.txt'])
  await page.getByRole('button', { name: '不再限制' }).click()
  await page.getByRole('combobox', { name: '名称，例如：部门' }).fill('级别')
  await page.getByLabel('种类').selectOption('number')
  await page.getByRole('spinbutton', { name: '从' }).fill('2')
  await page.getByRole('spinbutton', { name: '到' }).fill('3')
  await expect.poll(search).toEqual(['细则.txt', '薪酬.txt'].sort())
  await page.getByRole('spinbutton', { name: '从' }).fill('4')
  await expect.poll(search).toEqual([])
  await page.getByRole('button', { name: '不再限制' }).click()
  await page.getByLabel('到这一天').fill('2020-01-01')
  await expect.poll(search).toEqual([])
  await dropBase(base)
}, 90_000)
