import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { ask, askSamples, lastAnswer, useBrowser, whole } from './support'

const SLOW = Array.from({ length: 24 }, (_, n) => `第${n + 1}句。`).join('')

describe('a conversation', () => {
  const { enter, proxy } = useBrowser()

  it('streams an answer, whose citation leads to the passage and to the file', async () => {
    const page = await enter()
    await askSamples(page, '工作满 5 年有几天年假？请列表说明')
    await page.locator('.markdown.growing').waitFor()
    await whole(page)
    expect(await lastAnswer(page).locator('table tr').count()).toBe(4)
    await page.locator('[data-cite="1"]').first().click()
    const sheet = page.getByRole('dialog')
    await sheet.locator('.passage').waitFor()
    expect(await sheet.locator('.title').textContent()).toMatch(/\.(?:md|pdf|docx|xlsx)$/)
    await sheet.getByRole('button', { name: '下一条出处' }).click()
    await sheet.getByText('2 / 3').waitFor()
    await page.keyboard.press('Escape')
    await sheet.waitFor({ state: 'hidden' })
  })

  it('opens a PDF at the page of the passage, which is marked', async () => {
    const page = await enter()
    await askSamples(page, '密码多久更换一次？信息安全有哪些要求？请列表说明')
    await whole(page)
    await page.locator('.sources .toggle').click()
    await page.locator('.source', { hasText: '.pdf' }).first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: '查看原文' }).click()
    await sheet.locator('.mark.passage').first().waitFor()
    const ink = await sheet.locator('canvas').evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
      return data.filter((value, index) => index % 4 === 0 && value < 100).length
    })
    expect(ink).toBeGreaterThan(1000)
  })

  it('goes on where it was when the page is loaded anew, without a gap and without a repeat', async () => {
    const page = await enter()
    await askSamples(page, '请慢慢说')
    await lastAnswer(page).getByText('第3句').waitFor()
    await page.reload()
    await whole(page)
    expect((await lastAnswer(page).textContent())?.trim()).toBe(SLOW)
    expect(await page.locator('.message').count()).toBe(1)
  })

  it('goes on when the connection is cut, more than once', async () => {
    const page = await enter()
    await askSamples(page, '请慢慢说')
    for (const part of ['第3句', '第9句', '第15句']) {
      await lastAnswer(page).getByText(part).waitFor()
      proxy.cut()
    }
    await whole(page)
    expect((await lastAnswer(page).textContent())?.trim()).toBe(SLOW)
  })

  it('sends what was written offline exactly once, even after a reload', async () => {
    const page = await enter()
    await page.locator('.card').first().click()
    await page.waitForURL(/\/chat\//)
    await page.locator('.composer textarea').waitFor()
    await page.context().setOffline(true)
    await ask(page, '离线时写的，请列表说明')
    await page.locator('.stage.lost', { hasText: '网络不通，恢复后自动发送' }).waitFor()
    await page.context().setOffline(false)
    await page.reload()
    await whole(page)
    await page.reload()
    await whole(page)
    expect(await page.locator('.message').count()).toBe(1)
  })

  it('stops, keeps what was said, and answers again in its place', async () => {
    const page = await enter()
    await askSamples(page, '请慢慢说')
    await lastAnswer(page).getByText('第3句').waitFor()
    await page.getByRole('button', { name: '停止' }).click()
    await page.locator('.note', { hasText: '已停止' }).waitFor()
    expect(await lastAnswer(page).textContent()).toMatch(/^第1句.*第3句/)
    await page.getByRole('button', { name: '重新生成' }).click()
    await whole(page)
    expect((await lastAnswer(page).textContent())?.trim()).toBe(SLOW)
    expect(await page.locator('.message').count()).toBe(1)
  })

  it('draws formulas, coloured code and diagrams, within the policy', async () => {
    const page = await enter('reader', { dark: true })
    await askSamples(page, '用图和公式说明年假折算')
    await whole(page)
    await lastAnswer(page).locator('.katex').first().waitFor()
    await lastAnswer(page).locator('.hljs-keyword').first().waitFor()
    await lastAnswer(page).locator('.drawing img').waitFor()
  })

  it('runs nothing of what an answer brings along, and loads nothing from elsewhere', async () => {
    const page = await enter()
    await page.evaluate(() => Object.assign(window, { alert: () => Object.assign(window, { hacked: true }) }))
    await askSamples(page, '请原样重复：<img src=x onerror="alert(1)"><script>alert(2)</script> [x](javascript:alert(3)) ![y](https://evil.example/a.png) <svg onload=alert(4)> [z](https://good.example/p)')
    await whole(page)
    await lastAnswer(page).locator('a').first().waitFor()
    for (const link of await lastAnswer(page).locator('a').all())
      expect(await link.getAttribute('href')).toMatch(/^https:/)
    expect(await lastAnswer(page).locator('img, script, svg').count()).toBe(0)
    expect(await lastAnswer(page).locator('.host').last().textContent()).toBe('good.example')
    expect(await page.evaluate(() => 'hacked' in window)).toBe(false)
  })

  it('takes a file along, and is asked about it', async () => {
    const page = await enter()
    await page.locator('.card').first().click()
    await page.waitForURL(/\/chat\//)
    await page.locator('input[type=file]').setInputFiles({ name: '合同 onerror=alert(1).txt', mimeType: 'text/plain', buffer: Buffer.from('本合同的付款期限为四十五天，逾期每日收取万分之五的违约金。') })
    await page.getByText('可以提问了').waitFor()
    await ask(page, '付款期限是几天？请列表说明')
    await whole(page)
    await page.locator('.sources .toggle').click()
    await page.locator('.source', { hasText: '合同' }).first().waitFor()
  })
})
