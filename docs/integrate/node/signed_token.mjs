/**
 * Makes a signed token (version 2): chat2llm keeps your public key only, so that nobody there can make one.
 *
 *     node signed_token.mjs oa_signing.pem s1 oa zhangsan 张三
 *
 * Runs on your own server only: the private key never leaves it.
 */

import { createPrivateKey, randomUUID, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * A token for this user, good for one session within five minutes.
 * @param {import('node:crypto').KeyObject} privateKey
 */
export function makeSignedToken(privateKey, kid, clientId, userId, name = '') {
  const now = Math.floor(Date.now() / 1000)
  const header = { alg: 'EdDSA', kid, typ: 'c2l-client+jwt' }
  const claims = {
    iss: clientId,
    aud: 'chat2llm',
    sub: userId,
    name,
    iat: now,
    exp: now + 300,
    jti: randomUUID(),
  }
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [pemFile, kid, clientId, userId, name, ...rest] = process.argv.slice(2)
  if (name === undefined || rest.length > 0) {
    console.error('usage: node signed_token.mjs PRIVATE_PEM KID CLIENT_ID USER_ID NAME')
    process.exit(2)
  }
  try {
    const key = createPrivateKey(readFileSync(pemFile))
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`no Ed25519 key in ${pemFile}`)
    console.log(makeSignedToken(key, kid, clientId, userId, name))
  } catch (error) {
    console.error(error.message)
    process.exit(1)
  }
}
