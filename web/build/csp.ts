import type { Plugin } from 'vite'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'

// The page is served with a policy that lets neither inline scripts nor `<style>` elements pass, and no script of a data: address.
// Vite's legacy build makes all three; here they become files of their own.

function named(kind: string, text: string, suffix: string): string {
  return `assets/${kind}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}.${suffix}`
}

class Files {
  #texts = new Map<string, string>()

  keep(name: string, text: string): string {
    this.#texts.set(name, text)
    return name
  }

  async write(folder: string): Promise<void> {
    for (const [name, text] of this.#texts) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
      await writeFile(path.join(folder, name), text)
    }
  }
}

const STYLE = /var __vite_style__ = document\.createElement\('style'\);__vite_style__\.textContent = ("(?:[^"\\]|\\.)*");document\.head\.appendChild\(__vite_style__\);/g

/** A legacy chunk's styles become a linked file. Stands before the legacy plugin, which minifies. */
export function noInlineStyles(): Plugin {
  const files = new Files()
  let base = '/'
  return {
    name: 'no-inline-styles',
    apply: 'build',
    enforce: 'post',
    configResolved: (config) => { base = config.base },
    renderChunk(code) {
      if (!code.includes('__vite_style__'))
        return null
      const linked = code.replace(STYLE, (_, literal: string) => {
        const css = JSON.parse(literal) as string
        const href = base + files.keep(named('legacy', css, 'css'), css)
        return `var __vite_link__ = document.createElement('link');__vite_link__.rel = 'stylesheet';__vite_link__.href = ${JSON.stringify(href)};document.head.appendChild(__vite_link__);`
      })
      if (linked.includes('__vite_style__'))
        this.error('styles of a legacy chunk were not recognised; see build/csp.ts')
      return { code: linked, map: null }
    },
    writeBundle: options => files.write(options.dir ?? 'dist'),
  }
}

const SCRIPT = /<script([^>]*)>([^<]+)<\/script>/g
const CHECK = /import\s*'data:text\/javascript,([^']*)'/g

/** Scripts inside index.html become files, and so do the modules that look for an old browser. Stands after the legacy plugin. */
export function noInlineScripts(): Plugin {
  const files = new Files()
  let base = '/'
  const linked = (code: string) => code.replace(CHECK, (_, text: string) => `import'./${path.basename(files.keep(named('check', text, 'js'), text))}'`)
  return {
    name: 'no-inline-scripts',
    apply: 'build',
    enforce: 'post',
    configResolved: (config) => { base = config.base },
    generateBundle(options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (options.format !== 'es' || chunk.type !== 'chunk')
          continue
        chunk.code = linked(chunk.code)
        if (chunk.code.includes('data:text/javascript'))
          this.error(`a module of a data: address is left in ${chunk.fileName}; see build/csp.ts`)
      }
    },
    transformIndexHtml: {
      order: 'post',
      handler: html => html.replace(SCRIPT, (_, attributes: string, given: string) => {
        const text = linked(given)
        return `<script${attributes} src="${base}${files.keep(named('start', text, 'js'), text)}"></script>`
      }),
    },
    writeBundle: options => files.write(options.dir ?? 'dist'),
  }
}
