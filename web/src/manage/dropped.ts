function children(folder: FileSystemDirectoryEntry) {
  const reader = folder.createReader()
  const read = () => new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
  // A hundred at a time, until none is left.
  const all = async (before: FileSystemEntry[] = []): Promise<FileSystemEntry[]> => {
    const part = await read()
    return part.length ? all([...before, ...part]) : before
  }
  return all()
}

async function walk(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile)
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))]
  const parts = await Promise.all((await children(entry as FileSystemDirectoryEntry)).map(walk))
  return parts.flat()
}

/** What was dropped, with what is in dropped folders; hidden files of systems are nobody's documents. */
export async function filesOf(dropped: DataTransfer | null): Promise<File[]> {
  const entries = [...dropped?.items ?? []].map(item => item.webkitGetAsEntry?.() ?? null)
  const files = entries.length && entries.every(Boolean)
    ? (await Promise.all(entries.map(entry => walk(entry!)))).flat()
    : [...dropped?.files ?? []]
  return files.filter(file => !/^(?:\.|~\$|Thumbs\.db$)/.test(file.name))
}
