import type { Ref } from 'vue'
import { nextTick, onScopeDispose, ref, watch } from 'vue'

const LEVELS = [1, 1.5, 2, 3, 4]
const MOST = LEVELS.at(-1)!
// So many CSS pixels per point of the page let its small print be read.
const READABLE = 1.15
const DOUBLE_TAP = { within: 350, near: 30 }
// What is stretched meanwhile is drawn anew when fingers have come to rest.
const REST = 180

/** The width at which a page is begun with: as wide as the box, or as wide as it can be read at. */
export const firstZoom = (pageWidth: number, boxWidth: number) => Math.min(Math.max(1, READABLE * pageWidth / boxWidth), 2.5)

interface Place { x: number, y: number }

/** How large a page is shown, in widths of its box: by buttons, two fingers or a double tap. `onRest` draws it anew. */
export function useZoom(box: Ref<HTMLElement | undefined>, paper: Ref<HTMLElement | undefined>, onRest: () => void) {
  const zoom = ref(1)
  let timer: ReturnType<typeof setTimeout> | undefined
  watch(zoom, () => {
    clearTimeout(timer)
    timer = setTimeout(onRest, REST)
  })
  onScopeDispose(() => clearTimeout(timer))

  /** What is at this place of the screen stays there. */
  function to(wanted: number, at: Place): void {
    const before = paper.value?.getBoundingClientRect()
    zoom.value = Math.min(Math.max(1, wanted), MOST)
    if (!before?.width)
      return
    const [x, y] = [(at.x - before.left) / before.width, (at.y - before.top) / before.height]
    void nextTick(() => {
      const after = paper.value?.getBoundingClientRect()
      if (!after || !box.value)
        return
      box.value.scrollLeft += after.left + x * after.width - at.x
      const outer = scrollerOf(box.value)
      if (outer)
        outer.scrollTop += after.top + y * after.height - at.y
    })
  }

  function middle(): Place {
    const { left, top, width, height } = (scrollerOf(box.value) ?? box.value)!.getBoundingClientRect()
    return { x: left + width / 2, y: top + height / 2 }
  }

  function step(direction: 1 | -1): void {
    const next = direction > 0 ? LEVELS.find(level => level > zoom.value + 0.01) : [...LEVELS].reverse().find(level => level < zoom.value - 0.01)
    if (next)
      to(next, middle())
  }

  let tapped = { x: 0, y: 0, when: -Infinity }
  function onClick(event: MouseEvent): void {
    const { clientX: x, clientY: y, timeStamp: when } = event
    const isDouble = when - tapped.when < DOUBLE_TAP.within && Math.hypot(x - tapped.x, y - tapped.y) < DOUBLE_TAP.near
    tapped = { x, y, when: isDouble ? -Infinity : when }
    if (isDouble)
      to(zoom.value > 1.2 ? 1 : 2, { x, y })
  }

  let pinch: { apart: number, zoom: number } | null = null
  const apart = ([one, other]: Touch[]) => Math.hypot(one!.clientX - other!.clientX, one!.clientY - other!.clientY)
  function onTouch(event: TouchEvent): void {
    const touches = [...event.touches]
    if (touches.length !== 2) {
      pinch = null
      return
    }
    event.preventDefault()
    pinch ??= { apart: apart(touches), zoom: zoom.value }
    const [one, other] = touches as [Touch, Touch]
    to(pinch.zoom * apart(touches) / pinch.apart, { x: (one.clientX + other.clientX) / 2, y: (one.clientY + other.clientY) / 2 })
  }

  return { zoom, most: MOST, step, onClick, onTouch }
}

function scrollerOf(element: HTMLElement | undefined): HTMLElement | null {
  for (let outer = element?.parentElement; outer; outer = outer.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(outer).overflowY))
      return outer
  }
  return null
}
