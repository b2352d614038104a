import type { Plugin } from 'vite'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'

// What pdf.js asks for while it reads: character maps of CJK fonts, the standard fonts, and a decoder of JPEG 2000.
const FOLDERS = { cmaps: /\.bcmap$/, standard_fonts: /\.(?:pfb|ttf)$/, wasm: /nowasm_fallback\.js$/ }
const NAMES: Record<string, string> = { standard_fonts: 'fonts' }
const home = path.dirname(createRequire(import.meta.url).resolve('pdfjs-dist/package.json'))

async function list(): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const [folder, wanted] of Object.entries(FOLDERS)) {
    for (const name of await readdir(path.join(home, folder))) {
      if (wanted.test(name))
        files.set(`pdf/${NAMES[folder] ?? folder}/${name}`, path.join(home, folder, name))
    }
  }
  return files
}

/** They lie under their own names in pdf/. */
export function pdfFiles(): Plugin {
  let base = '/'
  return {
    name: 'pdf-files',
    configResolved: (config) => { base = config.base },
    configureServer: (server) => {
      server.middlewares.use(`${base}pdf/`, (request, response, next) => {
        list().then(files => readFile(files.get(`pdf${request.url}`) ?? '')).then(bytes => response.end(bytes), next)
      })
    },
    async generateBundle(options) {
      if (options.format !== 'es')
        return
      for (const [fileName, from] of await list())
        this.emitFile({ type: 'asset', fileName, source: await readFile(from) })
    },
  }
}
