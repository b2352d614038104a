import { describe, expect, it } from 'vitest'
import { ask, lastAnswer, useBrowser, whole } from './support'

describe('an old web view', () => {
  const { open, ticket } = useBrowser()

  it('runs the bundle that is made for it, within the same policy, on a slow phone', async () => {
    const page = await open()
    const loaded: string[] = []
    page.on('request', request => loaded.push(new URL(request.url()).pathname))
    // A browser that knows no modules: it passes over them, and runs what others pass over.
    await page.route(/\/h5\/(?:\?.*)?$/, async (route) => {
      const response = await route.fetch()
      const html = (await response.text()).replace(/<script type="module"[^>]*><\/script>/g, '').replace(/<link rel="modulepreload"[^>]*>/g, '').replace(/<script nomodule/g, '<script')
      await route.fulfill({ response, body: html })
    })
    const slow = await page.context().newCDPSession(page)
    await slow.send('Emulation.setCPUThrottlingRate', { rate: 4 })
    await page.goto(`/h5/#ticket=${await ticket('reader')}`)
    await page.locator('.card').first().click()
    await ask(page, '工作满 5 年有几天年假？请列表说明')
    await whole(page)
    expect(await lastAnswer(page).locator('table tr').count()).toBe(4)
    await page.locator('[data-cite="1"]').first().click()
    await page.getByRole('dialog').locator('.passage').waitFor()
    expect(loaded.some(path => /index-legacy/.test(path))).toBe(true)
    expect(loaded.filter(path => /assets\/index-(?!legacy)[^.]*\.js/.test(path))).toEqual([])
  })
})
