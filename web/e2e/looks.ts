import type { Page } from 'playwright-core'
import type { Look } from './support'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import process from 'node:process'
import { expect } from 'vitest'
import { DESKTOP, PHONE } from './support'

// Every page as people see it: nothing serious for axe to find, no control too small for a finger. Each is looked at on a
// phone by day, and where it stands then on a desk by night. SCREENSHOTS=FOLDER takes pictures, each look for itself.
const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
export const folder = process.env.SCREENSHOTS ?? ''
const PHONE_BY_DAY: [string, Look] = ['phone', {}]
const OTHERS: [string, Look][] = [
  ['desktop-dark', { desktop: true, dark: true }],
  ['phone-dark', { dark: true }],
  ['desktop', { desktop: true }],
  ['phone-en', { language: 'en' }],
]

export async function check(page: Page, name: string): Promise<void> {
  // What moves is judged when it has come to rest.
  await page.waitForTimeout(500)
  await judge(page, name)
  if (folder) {
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name}.png`, scale: 'css', animations: 'disabled' })
    return
  }
  if (page.viewportSize()?.width !== PHONE.width)
    return
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.setViewportSize(DESKTOP)
  await page.waitForTimeout(500)
  await judge(page, `${name}, on a desk by night`)
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize(PHONE)
}

async function judge(page: Page, name: string): Promise<void> {
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

/** On a desk with a mouse, by night. */
export const ON_A_DESK = OTHERS[0]!
export const LOOKS = folder ? [PHONE_BY_DAY, ...OTHERS] : [PHONE_BY_DAY]
