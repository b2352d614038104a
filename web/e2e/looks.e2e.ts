import type { Page } from 'playwright-core'
import type { Look } from './support'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import process from 'node:process'
import { describe, expect, it } from 'vitest'
import { ask, lastAnswer, useBrowser, whole } from './support'

// Every page as people see it: nothing serious for axe to find, no control too small for a finger. SCREENSHOTS=FOLDER
// takes pictures, in all looks.
const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const folder = process.env.SCREENSHOTS ?? ''
const LOOKS: [string, Look][] = [
  ['phone', {}],
  ['desktop-dark', { desktop: true, dark: true }],
]
const MORE: [string, Look][] = [
  ['phone-dark', { dark: true }],
  ['desktop', { desktop: true }],
  ['phone-en', { language: 'en' }],
]

async function check(page: Page, name: string): Promise<void> {
  // What moves is judged when it has come to rest.
  await page.waitForTimeout(500)
  if (folder) {
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name}.png`, scale: 'css', animations: 'disabled' })
  }
  await page.evaluate(await axe)
  const found = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: { run: () => Promise<{ violations: { id: string, impact: string, nodes: { html: string }[] }[] }> } }).axe.run()
    return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(node => node.html.slice(0, 160)).join(' | ')}`)
  })
  expect.soft(found.filter(line => /^(?:serious|critical)/.test(line)), name).toEqual([])
  const small = await page.evaluate(() => [...document.querySelectorAll<HTMLElement>('button, a[href], select, [role=button]')].filter((control) => {
    const { width, height } = control.getBoundingClientRect()
    if (!width || !height || control.closest('.markdown, [aria-hidden=true], .quiet'))
      return false
    // What a finger meets may be larger than what is seen.
    const after = getComputedStyle(control, '::after')
    const more = after.content === 'none' ? 0 : -Number.parseFloat(after.top || '0') - Number.parseFloat(after.bottom || '0')
    return height + Math.max(0, more) < 43.5
  }).map(control => control.outerHTML.slice(0, 160)))
  expect.soft(small, `${name}: smaller than a finger`).toEqual([])
}

describe.each(folder ? [...LOOKS, ...MORE] : LOOKS)('the pages on a %s', (name, look) => {
  const { open, enter, product } = useBrowser()
  const words = (zh: string, en: string) => look.language === 'en' ? en : zh

  it('are ones that everybody can use', async () => {
    const door = await open(look)
    await door.goto('/h5/')
    await door.locator('#passphrase').waitFor()
    await check(door, `entry-${name}`)

    const page = await enter('editor', look)
    await page.locator('.card').first().waitFor()
    await page.locator('.home .question, .home li').first().waitFor().catch(() => {})
    await check(page, `home-${name}`)
    await page.getByRole('button', { name: words('设置', 'Settings'), exact: true }).click()
    await page.getByRole('dialog').waitFor()
    await check(page, `settings-${name}`)
    await page.keyboard.press('Escape')

    await page.locator('.card').first().click()
    await ask(page, '工作满 5 年有几天年假？请列表说明')
    await whole(page)
    await lastAnswer(page).locator('table').waitFor()
    await check(page, `chat-${name}`)
    await page.locator('[data-cite="1"]').first().click()
    await page.getByRole('dialog').locator('.passage').waitFor()
    await check(page, `source-${name}`)
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: words('对话设置', 'Chat settings') }).click()
    await page.getByRole('dialog').getByRole('slider').first().waitFor()
    await check(page, `options-${name}`)
    await page.keyboard.press('Escape')

    if (folder) {
      await ask(page, '密码多久更换一次？信息安全有哪些要求？请列表说明')
      await page.locator('.message').nth(1).locator('.sources .toggle').click()
      await page.locator('.source', { hasText: '.pdf' }).first().click()
      await page.getByRole('dialog').getByRole('button', { name: words('查看原文', 'Original') }).click()
      await page.locator('.mark.passage').first().waitFor()
      await check(page, `original-${name}`)
      await page.keyboard.press('Escape')
    }
    const path = new URL(page.url())
    await page.goto(`${path.origin}/h5/sessions`)
    await page.locator('.row').first().waitFor()
    await check(page, `sessions-${name}`)
    await page.goto(`${path.origin}/h5/manage`)
    await page.locator('.manage .card').first().waitFor()
    await check(page, `manage-${name}`)
    await page.locator('.manage .card').first().click()
    await page.locator('.list .row').first().waitFor()
    await check(page, `documents-${name}`)
    await page.getByRole('link', { name: words('命中测试', 'Try a search') }).click()
    await page.getByRole('textbox').fill('年假有几天')
    await page.getByRole('button', { name: words('检索', 'Search'), exact: true }).click()
    await page.locator('.hit').first().waitFor()
    await check(page, `test-${name}`)
    await page.getByRole('link', { name: words('推荐问题', 'Questions') }).click()
    await page.locator('.list .question').first().waitFor()
    await check(page, `questions-${name}`)
    await page.getByRole('link', { name: words('介绍', 'About') }).click()
    await page.locator('form').waitFor()
    await check(page, `about-${name}`)
    expect(product.port).toBeGreaterThan(0)
  }, 120_000)
})
