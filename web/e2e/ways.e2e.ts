import { describe, expect, it } from 'vitest'
import { ask, askSamples, lastAnswer, useBrowser, whole } from './support'

describe('ways through the page', () => {
  const { enter } = useBrowser()

  it('end where there is no such conversation, and say so', async () => {
    const page = await enter('reader', {}, `chat/${'f'.repeat(32)}`)
    await page.getByText('没有这个会话').waitFor()
    expect(await page.locator('.composer').count()).toBe(0)
    await page.getByRole('link', { name: '回到首页' }).click()
    await page.locator('.home').waitFor()
    // What is no id is no way at all.
    const other = await enter('reader', {}, 'chat/zzzz')
    await other.locator('.home').waitFor()
  })

  it('lead to a new conversation that is still there after a reload, without asking for what it cannot have', async () => {
    const page = await enter()
    const missing: string[] = []
    page.on('response', response => response.status() === 404 && missing.push(response.url()))
    await page.locator('.card').first().click()
    await page.locator('.composer').waitFor()
    await page.reload()
    await page.locator('.composer').waitFor()
    await page.waitForLoadState('networkidle')
    expect(await page.getByText('没有这个会话').count()).toBe(0)
    expect(missing).toEqual([])
  })

  it('lead from one conversation to the next, while the first one goes on, which is seen', async () => {
    const page = await enter()
    await askSamples(page, '请慢慢说')
    await lastAnswer(page).getByText('第3句').waitFor()
    const first = page.url()
    await page.getByRole('button', { name: '新对话' }).click()
    await page.getByText('试着问我').waitFor()
    expect(page.url()).not.toBe(first)
    expect(await page.locator('.header .subtitle').textContent()).toContain('员工手册')
    await page.goBack()
    await page.waitForURL(first)
    await page.getByRole('button', { name: '返回' }).click()
    await page.locator('.line', { hasText: '请慢慢说' }).getByLabel('正在回答').waitFor()
    await page.locator('.dot').waitFor({ state: 'detached' })
    await page.locator('.line', { hasText: '请慢慢说' }).click()
    await whole(page)
  })

  it('lead from a conversation to how the page looks', async () => {
    const page = await enter()
    await askSamples(page, '工作满 5 年有几天年假？请列表说明')
    await whole(page)
    await page.getByRole('button', { name: '对话设置' }).click()
    await page.getByRole('button', { name: '外观与文字大小' }).click()
    await page.getByText('140%').click()
    await page.keyboard.press('Escape')
    // One line, cut with an ellipsis, however large the letters are.
    await page.setViewportSize({ width: 320, height: 700 })
    const area = page.locator('.composer textarea')
    await expect.poll(() => area.evaluate((one: HTMLTextAreaElement) => one.clientHeight / Number.parseFloat(getComputedStyle(one).fontSize))).toBeLessThan(3)
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)
    await ask(page, '再说一遍，请列表说明')
    await whole(page)
  })
})
