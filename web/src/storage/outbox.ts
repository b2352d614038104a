import type { DBSchema, IDBPDatabase } from 'idb'
import type { Question } from '@/api/answers'
import { openDB } from 'idb'

/** A question that the server has not confirmed yet. Its `message_id` makes sending it twice harmless. */
export interface Letter {
  message_id: string
  /** Whose it is: another person on the same phone neither sends nor sees it. */
  owner: string
  question: Question
  written_at: number
}

interface Schema extends DBSchema {
  outbox: { key: string, value: Letter, indexes: { owner: string } }
}

let database: Promise<IDBPDatabase<Schema>> | null = null
// Where there is no IndexedDB (some private windows), questions are kept as long as the page is there.
const memory = new Map<string, Letter>()

async function open(): Promise<IDBPDatabase<Schema> | null> {
  database ??= openDB<Schema>('chat2llm', 1, {
    upgrade: db => db.createObjectStore('outbox', { keyPath: 'message_id' }).createIndex('owner', 'owner'),
  })
  return database.catch(() => null)
}

export async function putLetter(letter: Letter): Promise<void> {
  memory.set(letter.message_id, letter)
  await (await open())?.put('outbox', letter)
}

export async function dropLetter(messageId: string): Promise<void> {
  memory.delete(messageId)
  await (await open())?.delete('outbox', messageId)
}

/** The oldest first. */
export async function lettersOf(owner: string): Promise<Letter[]> {
  const stored = await (await open())?.getAllFromIndex('outbox', 'owner', owner) ?? [...memory.values()].filter(letter => letter.owner === owner)
  return stored.sort((a, b) => a.written_at - b.written_at)
}
