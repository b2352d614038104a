// Texts that are not sent yet, on this device.

const MOST = 30
const PREFIX = 'draft:'

const keys = (prefix: string) => Object.keys(localStorage).filter(key => key.startsWith(prefix))

export const draftKey = (owner: string, place: string) => `${PREFIX}${owner}:${place}`

/** Drafts of old conversations do not pile up. */
export function tidyDrafts(): void {
  const all = keys(PREFIX)
  all.slice(0, Math.max(0, all.length - MOST)).forEach(key => localStorage.removeItem(key))
}

export function forgetDrafts(owner: string): void {
  keys(draftKey(owner, '')).forEach(key => localStorage.removeItem(key))
}
