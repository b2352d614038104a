/**
 * Makes a chat2llm api_token with WebCrypto: for servers that run browser JavaScript (Deno, Bun, edge workers), and for
 * an internal page on which an administrator tries out a key that he pastes himself. Needs https or localhost.
 *
 *     import { importPublicKey, makeApiToken } from './api_token.mjs'
 *     const token = await makeApiToken(await importPublicKey(pem), 'oa', 'zhangsan', '张三')
 *
 * Never ship this to your readers: whoever has this "public" key can make a token for any of your users, so neither the
 * key nor this code goes into a page, an app or a repository that others read. A page gets its token from your server.
 */

const OAEP = { name: 'RSA-OAEP', hash: 'SHA-256' }
const HASH_BYTES = 32

/** The key of a PEM file (`BEGIN PUBLIC KEY`). */
export async function importPublicKey(pem) {
  const der = Uint8Array.from(atob(pem.replace(/-----[^-]+-----|\s/g, '')), (char) => char.charCodeAt(0))
  return crypto.subtle.importKey('spki', der, OAEP, false, ['encrypt'])
}

/** A token for this user that is made now. Throws a RangeError for what chat2llm would refuse. */
export async function makeApiToken(publicKey, clientId, userId, username = '') {
  const utf8 = new TextEncoder()
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(clientId)) {
    throw new RangeError('client_id must be 1 to 32 letters, digits, _ or -')
  }
  const idBytes = utf8.encode(userId).length
  if (idBytes < 1 || idBytes > 64 || /\||\p{C}/u.test(userId) || userId !== userId.trim()) {
    throw new RangeError('user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends')
  }
  if (username.includes('|')) {
    throw new RangeError('username must not contain |')
  }

  const seconds = Math.floor(Date.now() / 1000)
  const plain = utf8.encode(`${clientId}|${userId}|${username}|${seconds}`)
  const tooLong = plain.length - (publicKey.algorithm.modulusLength / 8 - 2 * HASH_BYTES - 2)
  if (tooLong > 0) {
    throw new RangeError(`${tooLong} bytes too long for this key: shorten the username or leave it empty`)
  }

  const sealed = new Uint8Array(await crypto.subtle.encrypt(OAEP, publicKey, plain))
  return btoa(`${clientId}|${btoa(String.fromCharCode(...sealed))}`)
}
