import type { Plugin } from 'vite'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

const NAME = 'drawing/mermaid.js'
const read = () => readFile(createRequire(import.meta.url).resolve('mermaid/dist/mermaid.min.js'))

/** Mermaid as one classic script beside public/drawing/frame.html: a sandboxed document may not load modules. */
export function drawing(): Plugin {
  let base = '/'
  return {
    name: 'drawing',
    configResolved: (config) => { base = config.base },
    configureServer: (server) => {
      server.middlewares.use(base + NAME, (_request, response, next) => {
        read().then(text => response.setHeader('Content-Type', 'text/javascript').end(text), next)
      })
    },
    async generateBundle(options) {
      if (options.format === 'es')
        this.emitFile({ type: 'asset', fileName: NAME, source: await read() })
    },
  }
}
