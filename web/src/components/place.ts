import type { Source } from '@/api/answers'
import { hostOf } from '@/markdown/links'

/** Where in its file something stands. A place begins with the file's name, which is told before it already. */
export function placeOf(source: Pick<Source, 'file_name' | 'place' | 'url'>): string {
  if (source.url)
    return hostOf(source.url)
  const place = source.place ?? ''
  return source.file_name && place.startsWith(source.file_name) ? place.slice(source.file_name.length).replace(/^[\s·,，:：-]+/, '') : place
}
