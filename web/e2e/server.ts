import type { TestProject } from 'vitest/node'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Product {
  port: number
  passphrase: string
  /** api_tokens: whose role is manager, and whose is not. */
  tokens: { editor: string, reader: string }
}

declare module 'vitest' {
  export interface ProvidedContext { product: Product }
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env.PYTHON ?? path.join(root, '.venv/bin/python')

/** Starts the product once, for all files. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!existsSync(path.join(root, 'web/dist/index.html')))
    throw new Error('The page is not built: make page')
  const server = spawn(python, ['-m', 'tests.support.page_server'], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: server.stdout }).once('line', resolve)
    server.once('exit', code => reject(new Error(`tests.support.page_server ended: ${code}`)))
    server.once('error', reject)
  })
  project.provide('product', JSON.parse(line) as Product)
  return async () => {
    server.stdin.end()
    await new Promise(resolve => server.once('exit', resolve))
  }
}
