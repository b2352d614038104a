import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { askSamples, useBrowser, whole } from './support'

describe('"back"', () => {
  const { enter } = useBrowser()
  // As the key of Android does: without waiting for a page to be loaded.
  const back = (page: Page) => page.evaluate(() => history.back())

  it('closes what is open, from the original to the passage to the conversation, and only then leaves it', async () => {
    const page = await enter()
    await page.locator('.card').first().waitFor()
    await askSamples(page, '工作满 5 年有几天年假？请列表说明')
    await whole(page)
    const chat = page.url()
    const sheet = page.getByRole('dialog')
    await page.locator('[data-cite="1"]').first().click()
    await sheet.locator('.passage').waitFor()
    await sheet.getByRole('button', { name: '查看原文' }).click()
    await sheet.locator('.passage').waitFor({ state: 'detached' })
    await back(page)
    await sheet.locator('.passage').waitFor()
    await back(page)
    await sheet.waitFor({ state: 'hidden' })
    expect(page.url()).toBe(chat)

    await page.getByRole('button', { name: '对话设置' }).click()
    await sheet.getByRole('slider').first().waitFor()
    await back(page)
    await sheet.waitFor({ state: 'hidden' })
    expect(page.url()).toBe(chat)

    // What was closed by its button is not gone back to.
    await page.locator('[data-cite="1"]').first().click()
    await sheet.getByRole('button', { name: '查看原文' }).click()
    await sheet.getByRole('button', { name: '关闭' }).click()
    await sheet.waitFor({ state: 'hidden' })
    await back(page)
    await page.locator('.home').waitFor()
  })

  it('closes the preview of a file, and a sheet that leads to another page leaves nothing behind', async () => {
    const page = await enter('editor', {}, 'manage')
    await page.getByRole('button', { name: '新建知识库' }).click()
    await page.getByLabel('名称').fill('返回键')
    await page.getByRole('button', { name: '建立' }).click()
    await page.getByText('还没有文件').waitFor()
    await back(page)
    await page.locator('.manage .card').first().waitFor()
    expect(await page.getByRole('dialog').count()).toBe(0)

    await page.locator('.manage .card', { hasText: '员工手册' }).click()
    await page.locator('.list .row .name').first().click()
    const sheet = page.getByRole('dialog')
    await sheet.waitFor()
    const place = page.url()
    await back(page)
    await sheet.waitFor({ state: 'hidden' })
    expect(page.url()).toBe(place)
  })
})
