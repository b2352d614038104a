import { afterEach, vi } from 'vitest'
import 'fake-indexeddb/auto'

// What jsdom lacks: no query holds, nothing is measured.
window.matchMedia = query => Object.assign(new EventTarget(), { matches: false, media: query, onchange: null, addListener() {}, removeListener() {} })
window.scrollTo = () => {}
Element.prototype.scrollTo = () => {}
window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
}

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  localStorage.clear()
  sessionStorage.clear()
})
