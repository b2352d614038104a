import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// The built page in a real browser, against the real server: `npm run e2e`.
export default defineConfig({
  test: {
    environment: 'node',
    include: [process.env.TIMING ? 'e2e/timing.ts' : 'e2e/**/*.e2e.ts'],
    globalSetup: ['e2e/server.ts'],
    root: fileURLToPath(new URL('.', import.meta.url)),
    // One browser at a time: the machines that run this are small.
    fileParallelism: false,
    // Beside other tests on two cores; a second try is told in the report.
    retry: 1,
    testTimeout: 40_000,
    hookTimeout: 120_000,
  },
})
