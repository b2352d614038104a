import { expect, it } from 'vitest'
import { askSamples, useBrowser, whole } from './support'

const { enter } = useBrowser()

it('a hit test tells why a passage is there, and why another is not', async () => {
  const page = await enter('editor', {}, 'manage')
  await page.locator('.manage .card').first().click()
  await page.getByRole('link', { name: '命中测试' }).click()
  await page.getByLabel('输入问题，看看能检索到什么').fill('年休假有几天')
  await page.keyboard.press('Enter')
  const first = page.locator('.hit').first()
  await first.locator('mark', { hasText: '年' }).first().waitFor()
  await first.getByText('为什么找到它').click()
  await first.getByText('第 1 名').first().waitFor()
  await page.getByText('每一步用时').click()
  await page.locator('.steps').getByText('合并排名').waitFor()

  // More strictly: nothing of it is near enough.
  await page.getByText('换一种设置试试').click()
  await page.getByRole('slider', { name: '相似度门槛' }).fill('0.95')
  await page.getByLabel('其中的一句话').fill('年休假')
  await page.getByRole('button', { name: '为什么没有找到' }).click()
  await page.locator('.why', { hasText: '阈值' }).waitFor()
  await page.getByText('没有检索到').waitFor()
  await page.getByRole('button', { name: '撤回' }).click()
  await page.getByRole('button', { name: '用这些设置检索' }).click()
  await page.locator('.hit').first().waitFor()
  expect(await page.locator('.why').textContent()).not.toContain('阈值')
})

it('an editor sees how an answer was searched for, a reader does not', async () => {
  const reader = await enter()
  await askSamples(reader, '工作满 5 年有几天年假？请列表说明')
  await whole(reader)
  expect(await reader.getByRole('button', { name: '检索过程' }).count()).toBe(0)
  const page = await enter('editor')
  await askSamples(page, '工作满 5 年有几天年假？请列表说明')
  await whole(page)
  await page.getByRole('button', { name: '检索过程' }).click()
  const sheet = page.getByRole('dialog')
  await sheet.getByText('已采用').first().waitFor()
  await sheet.locator('.steps').waitFor()
  // Those that are no source of the answer, too, by the names of their files.
  const titles = await sheet.locator('.others summary').allTextContents()
  expect(titles.length).toBeGreaterThan(5)
  for (const title of titles)
    expect(title).toMatch(/^\d+\. \S.*\.(?:md|pdf|docx|xlsx|csv|pptx|txt|html)/)
  await sheet.getByRole('link', { name: '在命中测试里再试' }).click()
  await page.locator('.hit').first().waitFor()
  expect(await page.getByLabel('输入问题，看看能检索到什么').inputValue()).toContain('工作满 5 年')
})
