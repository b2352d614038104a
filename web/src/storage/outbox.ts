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
// What IndexedDB does not take (there is none in some private windows, or no room is left) is kept as long as the page is there.
const memory = new Map<string, Letter>()

async function open(): Promise<IDBPDatabase<Schema> | null> {
  database ??= openDB<Schema>('chat2llm', 1, {
    upgrade: db => db.createObjectStore('outbox', { keyPath: 'message_id' }).createIndex('owner', 'owner'),
  })
  return database.catch(() => null)
}

export async function putLetter(letter: Letter): Promise<void> {
  const store = await open()
  if (!await store?.put('outbox', letter).catch(() => null))
    memory.set(letter.message_id, letter)
}

export async function dropLetter(messageId: string): Promise<void> {
  memory.delete(messageId)
  await (await open())?.delete('outbox', messageId)
}

/** Whoever signs out leaves nothing on the device. */
export async function dropLettersOf(owner: string): Promise<void> {
  for (const letter of await lettersOf(owner))
    await dropLetter(letter.message_id)
}

/** The oldest first. */
export async function lettersOf(owner: string): Promise<Letter[]> {
  const stored = await (await open())?.getAllFromIndex('outbox', 'owner', owner) ?? []
  const kept = [...memory.values()].filter(letter => letter.owner === owner)
  return [...stored, ...kept].sort((a, b) => a.written_at - b.written_at)
}
