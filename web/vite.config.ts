import { fileURLToPath } from 'node:url'
import legacy from '@vitejs/plugin-legacy'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'
import { noInlineScripts, noInlineStyles } from './build/csp.ts'
import { drawing } from './build/drawing.ts'
import { pdfFiles } from './build/pdf.ts'

// Where `npm run dev` finds the API.
const server = process.env.CHAT2LLM ?? 'http://127.0.0.1:7861'
const API = ['/auth', '/chat', '/history', '/jobs', '/knowledge_base', '/llm_model', '/recommend', '/server', '/session', '/sso', '/user', '/wecom', '/h5/switches.json']

export default defineConfig({
  base: '/h5/',
  // Before `legacy`: it must see the styles before they are minified away; after it: the scripts that it writes.
  plugins: [vue(), drawing(), pdfFiles(), noInlineStyles(), legacy({ targets: ['chrome >= 64', 'ios >= 12'] }), noInlineScripts()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  define: {
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __VUE_OPTIONS_API__: true,
    __VUE_PROD_DEVTOOLS__: false,
  },
  // Nothing as data: in the code; the policy of the page lets no font pass that way.
  build: { cssTarget: ['chrome64', 'safari12'], assetsInlineLimit: 0, chunkSizeWarningLimit: 1200, reportCompressedSize: false },
  server: { proxy: Object.fromEntries(API.map(path => [path, { target: server, changeOrigin: false }])) },
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/setup.ts'],
    env: { BASE_URL: '/h5/' },
    restoreMocks: true,
    maxWorkers: 2,
  },
})
