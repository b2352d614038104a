import type { Ref } from 'vue'
import { onScopeDispose, watch } from 'vue'

// What lies over a page (a sheet, a file within it) has an entry of its own in the browser's history: "back" puts the
// uppermost away and leaves the page where it is. These entries are this module's alone; the router never hears of them.
type Layer = () => void
const layers: Layer[] = []
/** Of how many layers the entry tells that the browser is at. */
let depth = 0
let settled: Promise<void> = Promise.resolve()
let onPop: (() => void) | null = null
let place = ''

const depthOf = (state: unknown) => Number((state as { layer?: number } | null)?.layer ?? 0)
// A web view that loses the event must not hold the reader up for ever.
const LONGEST = 600

/** Go back by entries of ours. */
async function unwind(): Promise<void> {
  const steps = layers.length - depth
  depth = layers.length
  await new Promise<void>((resolve) => {
    onPop = resolve
    setTimeout(resolve, LONGEST)
    history.go(steps)
  })
  onPop = null
}

/** Bring the history to what is open now: what opens in the place of another takes its entry over. */
function settle(): Promise<void> {
  settled = settled.then(async () => {
    while (depth > layers.length)
      await unwind()
    while (depth < layers.length) {
      depth += 1
      place = location.href
      history.pushState({ ...history.state as object, layer: depth }, '')
    }
  })
  return settled
}

function close(down: number): void {
  while (layers.length > down)
    layers.pop()?.()
}

/** Before the router reads the history: it must not see these entries come and go. */
export function installLayers(): void {
  // Loaded anew with a sheet open: it is closed now.
  if (depthOf(history.state))
    history.replaceState({ ...history.state as object, layer: 0 }, '')
  window.addEventListener('popstate', (event) => {
    const now = depthOf(event.state)
    if (onPop) {
      event.stopImmediatePropagation()
      return onPop()
    }
    const isHere = place === location.href && (depth > 0 || now > 0)
    depth = now
    close(isHere ? now : 0)
    if (isHere)
      event.stopImmediatePropagation()
    // Forward, to a sheet that is closed: back again.
    if (isHere || now)
      void settle()
  }, { capture: true })
}

/** Nothing lies over a page that is left. */
export function closeLayers(): Promise<void> {
  close(0)
  return settle()
}

/** While this is open, "back" closes it. */
export function useLayer(open: Ref<boolean>): void {
  const layer: Layer = () => { open.value = false }
  function drop(): void {
    const at = layers.indexOf(layer)
    if (at >= 0)
      layers.splice(at, 1)
    void settle()
  }
  watch(open, (isOpen) => {
    if (!isOpen)
      return drop()
    layers.push(layer)
    void settle()
  }, { immediate: true, flush: 'sync' })
  onScopeDispose(drop)
}
