/**
 * Makes a chat2llm api_token: what tells chat2llm which of your users is asking.
 *
 *     node api_token.mjs oa_public.pem oa zhangsan 张三
 *
 * Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
 * key nor this code goes into a page, an app or a repository that others read.
 */

import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const HASH_BYTES = 32 // SHA-256

/**
 * A token for this user that is made now. Throws a RangeError for what chat2llm would refuse.
 * @param {import('node:crypto').KeyObject} publicKey
 */
export function makeApiToken(publicKey, clientId, userId, username = '') {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(clientId)) {
    throw new RangeError('client_id must be 1 to 32 letters, digits, _ or -')
  }
  const idBytes = Buffer.byteLength(userId)
  if (idBytes < 1 || idBytes > 64 || /\||\p{C}/u.test(userId) || userId !== userId.trim()) {
    throw new RangeError('user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends')
  }
  if (username.includes('|')) {
    throw new RangeError('username must not contain |')
  }

  const seconds = Math.floor(Date.now() / 1000)
  const plain = Buffer.from(`${clientId}|${userId}|${username}|${seconds}`)
  const tooLong = plain.length - (publicKey.asymmetricKeyDetails.modulusLength / 8 - 2 * HASH_BYTES - 2)
  if (tooLong > 0) {
    throw new RangeError(`${tooLong} bytes too long for this key: shorten the username or leave it empty`)
  }

  const sealed = publicEncrypt(
    { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    plain,
  )
  return Buffer.from(`${clientId}|${sealed.toString('base64')}`).toString('base64')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [pemFile, clientId, userId, username, ...rest] = process.argv.slice(2)
  if (username === undefined || rest.length > 0) {
    console.error('usage: node api_token.mjs PUBLIC_PEM CLIENT_ID USER_ID USERNAME')
    process.exit(2)
  }
  try {
    console.log(makeApiToken(createPublicKey(readFileSync(pemFile)), clientId, userId, username))
  } catch (error) {
    console.error(error.message)
    process.exit(1)
  }
}
