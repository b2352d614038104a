import { describe, expect, it } from 'vitest'
import { useBrowser } from './support'

describe('the way in', () => {
  const { open, enter, product } = useBrowser()
  const here = (page: Awaited<ReturnType<typeof open>>) => page.evaluate(() => location.pathname + location.hash + location.search)

  it('asks for the passphrase of the demo, and stays in after a reload', async () => {
    const page = await open()
    await page.goto('/h5/')
    await page.locator('#passphrase').fill(product.passphrase)
    await page.locator('.form button').click()
    await page.locator('.home').waitFor()
    expect(await here(page)).toBe('/h5/')
    await page.reload()
    await page.locator('.card').first().waitFor()
  })

  it('refuses a wrong passphrase with words, and lets another be tried', async () => {
    const page = await open({ language: 'en' })
    await page.goto('/h5/')
    await page.locator('#passphrase').fill('guessed')
    await page.locator('.form button').click()
    await page.getByText('That is not the passphrase').waitFor()
    await page.locator('#passphrase').waitFor()
  })

  it('takes a ticket out of the address, once, and leads on to where it was meant to', async () => {
    const page = await enter('reader', {}, 'sessions')
    await page.locator('.sessions').waitFor()
    expect(await here(page)).toBe('/h5/sessions')
    expect(await page.evaluate(() => history.length)).toBeLessThan(4)
    const other = await open()
    await other.goto('/h5/#ticket=tk_used-or-made-up')
    await other.getByRole('heading', { name: '暂时进不去' }).waitFor()
  })

  it('shows editors\' pages to editors', async () => {
    const reader = await enter('reader', {}, 'manage')
    await reader.locator('.home').waitFor()
    expect(await reader.getByRole('button', { name: '管理知识库' }).count()).toBe(0)
    const editor = await enter('editor', {}, 'manage')
    await editor.locator('.manage .card').first().waitFor()
  })

  it('leads back into the conversation whose login has ended, also after a wrong passphrase', async () => {
    const page = await open({ language: 'en' })
    await page.goto('/h5/')
    await page.locator('#passphrase').fill(product.passphrase)
    await page.locator('.form button').click()
    await page.locator('.home .card').first().click()
    // The home page has a field as well.
    await page.waitForURL(/\/chat\//)
    await page.locator('.composer textarea').fill('How many days off?')
    // What is asked for while a page opens would be told first.
    await page.waitForLoadState('networkidle')
    const chat = await here(page)
    await page.evaluate(() => fetch('/auth/session', { method: 'DELETE', headers: { Authorization: `Bearer ${sessionStorage.getItem('session')}` } }))
    await page.locator('.composer .go').click()
    await page.getByText('Sent once you have signed in').waitFor()
    const sheet = page.getByRole('dialog')
    await sheet.locator('#passphrase').fill('guessed')
    await sheet.locator('.form button').click()
    await sheet.getByText('That is not the passphrase').waitFor()
    await sheet.locator('#passphrase').fill(product.passphrase)
    await sheet.locator('.form button').click()
    await page.locator('.message .actions').waitFor()
    expect(await here(page)).toBe(chat)
  })

  it('asks to sign in again when the login has ended, and loses no draft', async () => {
    const page = await enter('reader')
    await page.locator('.composer textarea').fill('年假有')
    await page.evaluate(() => sessionStorage.setItem('session', 'st_ended'))
    await page.reload()
    await page.getByRole('dialog').getByText('登录已过期').waitFor()
    expect(await page.locator('.composer textarea').inputValue()).toBe('年假有')
  })
})
