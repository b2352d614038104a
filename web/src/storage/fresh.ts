import { newId } from '@/ids'

// Conversations that were begun in this tab and that the server does not know yet. Any other that it does not know is gone:
// deleted on another device, somebody else's, or never there.

const KEY = 'fresh'
const MOST = 20

function read(): string[] {
  return (sessionStorage.getItem(KEY) ?? '').split(' ').filter(Boolean)
}

const write = (ids: string[]) => sessionStorage.setItem(KEY, ids.slice(-MOST).join(' '))

/** Begin a conversation: by a new id, or by the one that a link from elsewhere brings along. */
export function beginChat(id: string = newId()): string {
  write([...read().filter(other => other !== id), id])
  return id
}

export const isFresh = (id: string) => read().includes(id)

/** The server knows it now. */
export const settle = (id: string) => write(read().filter(other => other !== id))
