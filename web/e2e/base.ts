import { inject } from 'vitest'

/** Calls as the editor's own system makes them, for what a test needs and does not test. */
export async function caller() {
  const product = inject('product')
  const origin = `http://127.0.0.1:${product.port}`
  const login = await fetch(`${origin}/auth/session`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ api_token: product.tokens.editor }) })
  const { data } = await login.json() as { data: { session_token: string } }
  const headers = { Authorization: `Bearer ${data.session_token}` }

  async function call(path: string, body?: object): Promise<unknown> {
    const init = body === undefined ? { headers } : { method: 'POST', headers: body instanceof FormData ? headers : { ...headers, 'Content-Type': 'application/json' }, body: body instanceof FormData ? body : JSON.stringify(body) }
    const response = await fetch(origin + path, init)
    if (!response.ok)
      throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json() as { data: unknown }).data
  }

  /** A knowledge base of its own, with these files read. */
  async function makeBase(title: string, files: Record<string, string>, fields: Record<string, string> = {}): Promise<string> {
    const name = `e2e-${Math.random().toString(36).slice(2, 8)}`
    await call('/knowledge_base/create_knowledge_base', { knowledge_base_name: name, kb_zh_name: title, vector_store_type: 'faiss' })
    const form = new FormData()
    Object.entries({ knowledge_base_name: name, wait: '60', ...fields }).forEach(([key, value]) => form.append(key, value))
    Object.entries(files).forEach(([file, text]) => form.append('files', new Blob([text], { type: 'text/plain' }), file))
    await call('/knowledge_base/upload_docs', form)
    return name
  }
  const dropBase = (name: string) => call('/knowledge_base/delete_knowledge_base', { knowledge_base_name: name })

  return { call, makeBase, dropBase }
}
