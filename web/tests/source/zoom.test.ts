import { afterEach, expect, it, vi } from 'vitest'
import { nextTick, ref } from 'vue'
import { firstZoom, useZoom } from '@/pdf/useZoom'
import { within } from '../support'

/** A page in a box 300 wide, which lies in something that scrolls. */
async function open() {
  vi.useFakeTimers()
  const [outer, box, paper] = [document.createElement('div'), document.createElement('div'), document.createElement('div')]
  outer.style.overflowY = 'auto'
  outer.append(box)
  box.append(paper)
  document.body.append(outer)
  const drawn = vi.fn()
  const { result, app } = await within(() => useZoom(ref(box), ref(paper), drawn))
  const size = () => ({ width: 300 * result.zoom.value, height: 400 * result.zoom.value })
  paper.getBoundingClientRect = () => new DOMRect(-box.scrollLeft, -outer.scrollTop, size().width, size().height)
  outer.getBoundingClientRect = () => new DOMRect(0, 0, 300, 400)
  return { ...result, drawn, box, outer, app }
}
const tap = (clientX: number, clientY: number, when: number) => Object.defineProperty(new MouseEvent('click', { clientX, clientY }), 'timeStamp', { value: when })
const touch = (...places: [number, number][]) => Object.assign(new Event('touchmove', { cancelable: true }), { touches: places.map(([clientX, clientY]) => ({ clientX, clientY })) }) as unknown as TouchEvent

afterEach(() => { document.body.innerHTML = '' })

it('begins where small print can be read, and with the whole page where there is room', () => {
  expect(firstZoom(595, 350)).toBeCloseTo(1.955)
  expect(firstZoom(595, 900)).toBe(1)
  expect(firstZoom(2000, 350)).toBe(2.5)
})

it('goes by steps about the middle, and is drawn anew once it rests', async () => {
  const { zoom, step, drawn, box, outer } = await open()
  step(1)
  await nextTick()
  step(1)
  expect(zoom.value).toBe(2)
  await nextTick()
  expect([box.scrollLeft, outer.scrollTop]).toEqual([150, 200])
  vi.advanceTimersByTime(500)
  expect(drawn).toHaveBeenCalledOnce()
  step(-1)
  expect(zoom.value).toBe(1.5)
  for (let n = 0; n < 9; n++)
    step(-1)
  expect(zoom.value).toBe(1)
})

it('takes a double tap, where it was tapped', async () => {
  const { zoom, onClick, box, outer } = await open()
  onClick(tap(100, 50, 1000))
  expect(zoom.value).toBe(1)
  onClick(tap(104, 50, 1200))
  expect(zoom.value).toBe(2)
  await nextTick()
  expect([box.scrollLeft, outer.scrollTop]).toEqual([104, 50])
  onClick(tap(104, 50, 1300))
  onClick(tap(250, 50, 1400))
  expect(zoom.value).toBe(2)
  onClick(tap(250, 50, 1500))
  expect(zoom.value).toBe(1)
})

it('follows two fingers, and leaves one finger to the browser', async () => {
  const { zoom, onTouch } = await open()
  const one = touch([10, 10])
  onTouch(one)
  expect(one.defaultPrevented).toBe(false)
  onTouch(touch([100, 100], [200, 100]))
  const wide = touch([50, 100], [300, 100])
  onTouch(wide)
  expect(wide.defaultPrevented).toBe(true)
  expect(zoom.value).toBe(2.5)
  onTouch(touch([50, 100], [51, 100]))
  expect(zoom.value).toBe(1)
})
