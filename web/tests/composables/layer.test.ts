import { afterEach, beforeAll, expect, it, vi } from 'vitest'
import { ref } from 'vue'
import { closeLayers, installLayers, useLayer } from '@/composables/useLayer'
import { within } from '../support'

const heard: unknown[] = []
beforeAll(() => {
  installLayers()
  // As the router does, after it.
  window.addEventListener('popstate', event => heard.push(event.state))
})
afterEach(() => { heard.length = 0 })

/** As long as the browser takes for its history. */
const until = (look: () => unknown, wanted: unknown) => vi.waitFor(() => expect(look()).toEqual(wanted), { timeout: 5000, interval: 5 })
const depth = () => (history.state as { layer?: number } | null)?.layer ?? 0

async function page(path: string) {
  history.pushState({ current: path }, '', path)
  const [sheet, original] = [ref(false), ref(false)]
  const { app } = await within(() => {
    useLayer(sheet)
    useLayer(original)
  })
  sheet.value = true
  original.value = true
  await until(depth, 2)
  return { sheet, original, app }
}

it('puts the uppermost layer away, one by one, and the router hears of none', async () => {
  const { sheet, original, app } = await page('/a')
  history.back()
  await until(() => [sheet.value, original.value], [true, false])
  history.back()
  await until(() => [sheet.value, original.value], [false, false])
  expect(location.pathname).toBe('/a')
  expect(heard).toEqual([])
  app.unmount()
  history.pushState({}, '', '/b')
  history.back()
  await until(() => heard.length, 1)
})

it('leaves no entry behind of what was closed by its own button', async () => {
  history.pushState({}, '', '/before')
  const { sheet, original, app } = await page('/c')
  original.value = false
  sheet.value = false
  await until(() => history.state, { current: '/c' })
  history.back()
  await until(() => location.pathname, '/before')
  await until(() => heard.length, 1)
  app.unmount()
})

it('closes all before another page is gone to, and ignores "forward" to what is closed', async () => {
  const { sheet, original, app } = await page('/d')
  await closeLayers()
  expect([sheet.value, original.value]).toEqual([false, false])
  expect(history.state).toEqual({ current: '/d' })
  const back = vi.spyOn(history, 'go')
  history.forward()
  await until(() => back.mock.calls, [[-1]])
  await until(() => history.state, { current: '/d' })
  expect(heard).toEqual([])
  app.unmount()
})

it('lets what opens in the place of another have its entry', async () => {
  const { sheet, original, app } = await page('/e')
  const length = history.length
  original.value = false
  original.value = true
  await until(depth, 2)
  expect(history.length).toBe(length)
  sheet.value = false
  original.value = false
  await until(depth, 0)
  app.unmount()
})
