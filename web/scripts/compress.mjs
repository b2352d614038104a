// Puts smaller forms beside what the build wrote, for server/pages.py to hand out: nothing is compressed while somebody waits.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'

const folder = process.argv[2]
const suffixes = new Set(['.js', '.mjs', '.css', '.svg', '.json', '.ttf', '.wasm'])
// Below this a packet is a packet.
const SMALL = 1024

for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath ?? entry.path, entry.name)
  if (!entry.isFile() || !suffixes.has(extname(path)))
    continue
  const bytes = readFileSync(path)
  if (bytes.length < SMALL)
    continue
  for (const [suffix, pack] of [['.br', brotliCompressSync], ['.gz', gzipSync]]) {
    const packed = pack(bytes)
    if (packed.length < bytes.length * 0.95)
      writeFileSync(path + suffix, packed)
  }
}
