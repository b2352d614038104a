import { afterEach, vi } from 'vitest'
import 'fake-indexeddb/auto'

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  localStorage.clear()
  sessionStorage.clear()
})
