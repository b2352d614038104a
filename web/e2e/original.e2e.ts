import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { askSamples, useBrowser, whole } from './support'

describe('the original of a citation', () => {
  const { enter } = useBrowser()

  async function openOriginal(page: Page, question: string, kind: string) {
    await askSamples(page, question)
    await whole(page)
    await page.locator('.sources .toggle').click()
    await page.locator('.source', { hasText: kind }).first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: '查看原文' }).click()
    await sheet.locator('.cited').first().waitFor()
    return sheet
  }

  it('of a PDF can be read on a phone: large enough, larger by buttons, fingers and a double tap, and sharp', async () => {
    const page = await enter()
    await askSamples(page, '密码多久更换一次？信息安全有哪些要求？请列表说明')
    await whole(page)
    await page.locator('.sources .toggle').click()
    await page.locator('.source', { hasText: '.pdf' }).first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: '查看原文' }).click()
    const mark = sheet.locator('.mark.passage').first()
    await mark.waitFor()
    const canvas = sheet.locator('canvas')
    // As drawn: pixels of the canvas per pixel of the phone.
    const look = () => canvas.evaluate((one: HTMLCanvasElement) => ({ width: one.clientWidth, sharp: one.width / one.clientWidth, room: one.closest('.box')!.clientWidth }))
    const first = await look()
    expect(first.width).toBeGreaterThan(1.5 * first.room)
    expect(await mark.evaluate((one: HTMLElement) => one.getBoundingClientRect().left)).toBeLessThan(80)
    await sheet.getByRole('button', { name: '放大' }).click()
    await expect.poll(async () => (await look()).sharp).toBeGreaterThan(1.9)
    expect((await look()).width).toBeGreaterThan(first.width)
    await sheet.getByRole('button', { name: '缩小' }).click()

    const place = (await sheet.locator('.box').boundingBox())!
    const [x, y] = [place.x + place.width / 2, 500]
    await page.touchscreen.tap(x, y)
    await page.touchscreen.tap(x, y)
    await expect.poll(async () => (await look()).width).toBe(first.room)
    const fingers = await page.context().newCDPSession(page)
    const move = (type: 'touchStart' | 'touchMove' | 'touchEnd', apart?: number) => fingers.send('Input.dispatchTouchEvent', { type, touchPoints: apart ? [{ x: x - apart, y, id: 0 }, { x: x + apart, y, id: 1 }] : [] })
    await move('touchStart', 30)
    await move('touchMove', 60)
    await move('touchMove', 90)
    await move('touchEnd')
    await expect.poll(async () => (await look()).width / first.room).toBeCloseTo(3, 1)
    await expect.poll(async () => (await look()).sharp).toBeGreaterThan(1.9)
  })

  it('of a workbook is a table with the row marked, and can be had', async () => {
    const page = await enter()
    const sheet = await openOriginal(page, '结构工程师配什么电脑？请列表说明', '.xlsx')
    expect(await sheet.locator('tr.cited').count()).toBe(1)
    expect(await sheet.locator('th').count()).toBeGreaterThan(3)
    const [download] = await Promise.all([page.waitForEvent('download'), sheet.getByRole('button', { name: '下载原文件' }).click()])
    expect(download.suggestedFilename()).toMatch(/\.xlsx$/)
  })

  it('of a Word document is its text under its headings', async () => {
    const page = await enter()
    const sheet = await openOriginal(page, '出差5天以内由谁批准？请列表说明', '.docx')
    expect(await sheet.locator('.read h3').count()).toBeGreaterThan(3)
    await expect.poll(() => sheet.locator('.cited').first().evaluate((block: HTMLElement) => block.getBoundingClientRect().top)).toBeLessThan(700)
  })

  it('of Markdown is laid out, not shown as its source', async () => {
    const page = await enter()
    const sheet = await openOriginal(page, '工作满 5 年有几天年假？请列表说明', '.md')
    expect(await sheet.locator('.markdown h2, .markdown h3').count()).toBeGreaterThan(2)
    expect(await sheet.locator('.markdown').textContent()).not.toContain('###')
    expect(await sheet.locator('.cited').first().evaluate((block: HTMLElement) => getComputedStyle(block).backgroundColor)).not.toBe('rgba(0, 0, 0, 0)')
  })
})
