import process from 'node:process'
import { expect, it } from 'vitest'
import { useBrowser } from './support'

// How long a first visit takes on a phone whose processor is four times slower than this one: `npm run timing`, by make bench.
const { open, ticket } = useBrowser()
const ROUNDS = 5

interface Visit { seen: number, usable: number, kilobytes: number }

async function visit(): Promise<Visit> {
  const page = await open()
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 })
  await devtools.send('Network.enable')
  await devtools.send('Network.setCacheDisabled', { cacheDisabled: true })
  let bytes = 0
  devtools.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength })
  await page.addInitScript(() => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector('.home .composer textarea') || !document.querySelector('.home .card'))
        return
      observer.disconnect()
      // When whatever was to be done by then is done, the page hears fingers.
      requestAnimationFrame(() => setTimeout(() => performance.mark('usable')))
    }).observe(document, { childList: true, subtree: true })
  })
  await page.goto(`/h5/#ticket=${await ticket('reader')}`)
  await page.waitForFunction(() => performance.getEntriesByName('usable').length > 0)
  const times = await page.evaluate(() => ({
    seen: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
    usable: performance.getEntriesByName('usable')[0]!.startTime,
  }))
  await page.context().close()
  return { ...times, kilobytes: bytes / 1000 }
}

it('is seen and usable soon', async () => {
  const visits: Visit[] = []
  for (let n = 0; n < ROUNDS; n++)
    visits.push(await visit())
  const median = (name: keyof Visit) => visits.map(one => one[name]).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!
  const told = { seen: Math.round(median('seen')), usable: Math.round(median('usable')), kilobytes: Math.round(median('kilobytes')) }
  process.stdout.write(`TIMING ${JSON.stringify(told)}\n`)
  expect(told.usable).toBeGreaterThan(0)
}, 120_000)
