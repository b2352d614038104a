import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { useBrowser } from './support'

const { enter } = useBrowser()
const CSV = '问题,出处文件,标准答案,可回答\n病假怎么申请？,员工手册.md,,\n月球基地在哪？,,,否\n怪题,,,也许\n'

it('a question set is made, filled, run, looked into and compared', async () => {
  const set = `验收 ${Date.now()}`
  const page = await enter('editor', {}, 'manage')
  await page.locator('.manage .card', { hasText: '员工手册' }).click()
  await page.getByRole('link', { name: '评测' }).click()
  await page.getByRole('button', { name: '新建问题集' }).click()
  await page.getByLabel('名称').fill(set)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { name: set }).waitFor()
  expect(await page.getByRole('button', { name: '开始评测' }).isDisabled()).toBe(true)

  await page.locator('input[type=file]').setInputFiles({ name: '题.csv', mimeType: 'text/csv', buffer: Buffer.from(CSV) })
  await page.getByText('新增 2 个').waitFor()
  await page.locator('.imported li', { hasText: '第 4 行' }).waitFor()
  await page.getByRole('button', { name: '添加问题' }).click()
  const sheet = page.getByRole('dialog')
  await sheet.getByLabel('问题', { exact: true }).fill('年休假有几天？')
  await sheet.getByLabel('应当找到的文件').fill('没有这个文件.md')
  await sheet.getByRole('button', { name: '保存' }).click()
  await page.getByText('3 个问题').waitFor()
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: '导出 CSV' }).click()])
  expect(await readFile(await saved.path(), 'utf8')).toContain('月球基地')

  for (const name of ['改动前', '改动后']) {
    await page.getByRole('button', { name: '开始评测' }).click()
    await sheet.getByLabel('名称').fill(name)
    await sheet.getByLabel('由谁回答').selectOption('quote')
    if (name === '改动后')
      await sheet.getByRole('slider', { name: '词语与含义的比重' }).fill('1')
    await sheet.getByRole('button', { name: '开始', exact: true }).click()
    await page.getByRole('link', { name }).waitFor({ timeout: 120_000 })
  }

  await page.getByRole('link', { name: '改动前' }).click()
  await page.locator('.plot', { hasText: '召回率@3' }).waitFor()
  // What failed comes first, and leads to why.
  const worst = page.locator('.result').first()
  expect(await worst.textContent()).toContain('没有找到')
  await worst.getByRole('link', { name: '为什么' }).click()
  await page.locator('.why', { hasText: '没有这样的段落' }).waitFor()
  await page.goBack()
  await page.locator('.plot', { hasText: '召回率@3' }).waitFor()
  await page.goBack()

  await page.getByLabel('选中 改动前').check()
  await page.getByLabel('选中 改动后').check()
  await page.getByRole('button', { name: '比较选中的两次' }).click()
  await page.getByText('之前：改动前').waitFor()
  await page.getByText('词语的比重').waitFor()
  expect(await page.getByText(/（p .*）/).count()).toBeGreaterThan(3)
  await page.goBack()

  await page.getByRole('button', { name: '删除问题集' }).click()
  await sheet.getByRole('button', { name: '删除', exact: true }).click()
  await page.getByRole('link', { name: set }).waitFor({ state: 'detached' })
})

it('a hit becomes a question of a set', async () => {
  const set = `命中 ${Date.now()}`
  const page = await enter('editor', { desktop: true }, 'manage')
  await page.locator('.manage .card', { hasText: '员工手册' }).click()
  await page.getByRole('link', { name: '命中测试' }).click()
  await page.getByLabel('输入问题，看看能检索到什么').fill('病假怎么申请')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: '这段就该找到' }).first().click()
  const sheet = page.getByRole('dialog')
  await sheet.getByLabel('问题集').selectOption('')
  await sheet.getByLabel('名称').fill(set)
  await sheet.getByRole('button', { name: '加入' }).click()
  await page.getByText('已加入问题集').waitFor()
  await page.getByRole('link', { name: '评测' }).click()
  await page.getByRole('link', { name: set }).click()
  await page.locator('.item', { hasText: '病假怎么申请' }).waitFor()
})
