// One golden token (see ../make_token_vectors.py): issuer.mjs PEM PADDING raw|base64 OUTER PLAIN.
// PADDING: what goes into publicEncrypt, `webcrypto HASH`, or `jsencrypt FILE` (the package's bundle).
import { createPublicKey, publicEncrypt } from 'node:crypto'
import * as crypto from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const [pemFile, padding, inner, outer, plain] = process.argv.slice(2)
const pem = readFileSync(pemFile, 'ascii')
const [library, detail] = padding.split(' ')

async function seal() {
  if (library === 'webcrypto') {
    const oaep = { name: 'RSA-OAEP', hash: detail }
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' })
    const key = await crypto.webcrypto.subtle.importKey('spki', der, oaep, false, ['encrypt'])
    return Buffer.from(await crypto.webcrypto.subtle.encrypt(oaep, key, new TextEncoder().encode(plain)))
  }
  if (library === 'jsencrypt') {
    const JSEncrypt = createRequire(import.meta.url)(detail)
    const encryptor = new JSEncrypt()
    encryptor.setPublicKey(pem)
    return Buffer.from(encryptor.encrypt(plain), 'base64')
  }
  const options = { key: pem }
  if (library.startsWith('RSA_')) options.padding = crypto.constants[library]
  if (detail) options.oaepHash = detail
  return publicEncrypt(options, Buffer.from(plain))
}

const sealed = await seal()
const head = Buffer.from(plain.slice(0, plain.indexOf('|') + 1))
const text = Buffer.concat([head, inner === 'raw' ? sealed : Buffer.from(sealed.toString('base64'))]).toString('base64')
process.stdout.write(
  {
    'standard': text,
    'url-safe': text.replaceAll('+', '-').replaceAll('/', '_'),
    'unpadded': text.replace(/=+$/, ''),
    'lines': text.replace(/.{64}/g, '$&\n') + '\n',
  }[outer],
)
