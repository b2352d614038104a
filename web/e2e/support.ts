import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { chromium } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest'
import { Proxy } from './proxy'

export const PHONE = { width: 390, height: 844 }
export const DESKTOP = { width: 1280, height: 800 }
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
export const hasBrowser = existsSync(executablePath)

export interface Look {
  dark?: boolean
  desktop?: boolean
  language?: 'zh-CN' | 'en'
}

/** One browser and one network for a file of tests; every page is watched for what must never happen. */
export function useBrowser() {
  let browser: Browser
  const product = inject('product')
  const proxy = new Proxy(product.port)
  const problems: string[] = []
  const pages = new Set<Page>()
  const state = { base: '' }

  beforeAll(async () => {
    state.base = await proxy.start()
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--font-render-hinting=none'] })
  })
  afterEach(async ({ task }) => {
    for (const page of pages) {
      if (task.result?.state === 'fail')
        await page.screenshot({ path: `e2e/failed/${task.name.slice(0, 60)}.png` }).catch(() => {})
      await page.context().close()
    }
    pages.clear()
    proxy.isDown = false
    // A policy that was broken, an exception, a word in the console: whatever test it was in.
    expect(problems.splice(0)).toEqual([])
  })
  afterAll(async () => {
    await browser.close()
    proxy.stop()
  })

  function watch(page: Page): void {
    page.on('pageerror', error => problems.push(`exception: ${error.message}`))
    page.on('console', (message) => {
      // Statuses that tests provoke, and networks that they cut.
      if ((message.type() === 'error' || message.type() === 'warning') && !/Failed to load resource|net::ERR_/.test(message.text()))
        problems.push(`console: ${message.text()}`)
    })
    page.on('request', request => /^(?:https?:\/\/127\.0\.0\.1|data:|blob:)/.test(request.url()) || problems.push(`foreign: ${request.url()}`))
  }

  async function open({ dark = false, desktop = false, language = 'zh-CN' }: Look = {}): Promise<Page> {
    const options: BrowserContextOptions = desktop
      ? { viewport: DESKTOP }
      : { viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }
    const context = await browser.newContext({ ...options, locale: language, colorScheme: dark ? 'dark' : 'light', baseURL: state.base, acceptDownloads: true })
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    pages.add(page)
    watch(page)
    return page
  }

  async function ticket(who: 'editor' | 'reader'): Promise<string> {
    const response = await fetch(`${state.base}/auth/ticket`, { method: 'POST', headers: { 'Api-Token': product.tokens[who] } })
    const { data } = await response.json() as { data: { ticket: string } }
    return data.ticket
  }

  /** A page of somebody who has come in by a ticket, as their own system hands them over. */
  async function enter(who: 'editor' | 'reader' = 'reader', look: Look = {}, path = ''): Promise<Page> {
    const page = await open(look)
    await page.goto(`/h5/${path}#ticket=${await ticket(who)}`)
    return page
  }

  return { product, proxy, open, enter, ticket, problems, state }
}

const SAMPLES = '员工手册'
/** Ask in a new conversation that answers from the samples. */
export async function askSamples(page: Page, question: string): Promise<void> {
  await page.locator('.card').first().click()
  await ask(page, question)
}

export async function ask(page: Page, question: string): Promise<void> {
  await page.waitForURL(/\/chat\//)
  await page.locator('.composer textarea').fill(question)
  await page.locator('.composer .go').click()
}

export const lastAnswer = (page: Page) => page.locator('.message').last().locator('.markdown')
/** The last answer is whole. */
export const whole = (page: Page) => page.locator('.message').last().locator('.actions').waitFor()

export { SAMPLES }
