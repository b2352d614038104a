import { expect, it } from 'vitest'
import { ask, askSamples, lastAnswer, useBrowser, whole } from './support'

const { enter } = useBrowser()

it('an answer that says there is none has the closest passages at hand', async () => {
  const page = await enter()
  await page.locator('.card').first().click()
  await page.getByRole('button', { name: '对话设置' }).click()
  // The answerer in the box, which says so.
  await page.getByLabel('模型').selectOption('quote')
  await page.getByRole('button', { name: '关闭' }).click()
  await ask(page, '公司食堂周五供应什么口味的披萨？')
  await whole(page)
  const message = page.locator('.message').last()
  const said = await message.textContent() ?? ''
  expect(said.match(/没有找到/g)).toHaveLength(1)
  const toggle = message.getByRole('button', { name: /最接近的 \d 条资料/ })
  expect(await message.locator('.source').count()).toBe(0)
  await toggle.click()
  await message.locator('.source').first().click()
  await page.getByRole('dialog').locator('.passage').waitFor()
})

it('what is not borne out is marked, told, and explained where it is cited; after a reload, too', async () => {
  const page = await enter()
  await askSamples(page, '年假有几天？编一个')
  await whole(page)
  for (const isReloaded of [false, true]) {
    if (isReloaded)
      await page.reload()
    const cite = lastAnswer(page).getByRole('button', { name: '出处 1，未核实' })
    await cite.waitFor()
    await page.locator('.note.slight', { hasText: '没有得到资料的印证' }).waitFor()
    const { width, height, words } = await cite.evaluate((element) => {
      const after = getComputedStyle(element, '::after')
      const box = element.getBoundingClientRect()
      return { width: box.width - 2 * Number.parseFloat(after.left), height: box.height - 2 * Number.parseFloat(after.top), words: element.textContent }
    })
    expect([width >= 30, height >= 44, words]).toEqual([true, true, '1?'])
    await cite.click()
    await page.getByRole('dialog').locator('.doubts', { hasText: '这句话里的数字没有出现在这段资料里' }).getByText('37 天').waitFor()
    await page.keyboard.press('Escape')
  }
})

it('a question that nothing comes near says where to look', async () => {
  const page = await enter()
  await page.locator('.card').first().click()
  await page.getByRole('button', { name: '对话设置' }).click()
  await page.getByRole('slider', { name: '相似度门槛' }).fill('0.95')
  await page.getByRole('button', { name: '关闭' }).click()
  await ask(page, '公司食堂周五供应什么口味的披萨？')
  await whole(page)
  await page.locator('.message .nearest li').first().waitFor()
  expect(await page.locator('.message .sources').count()).toBe(0)
  await page.reload()
  await page.locator('.message .nearest li').first().waitFor()
})
