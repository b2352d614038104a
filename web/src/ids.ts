/** 32 hexadecimal characters, as the server wants ids of sessions and messages. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}
