import type { Version } from '@/api/versions'
import { computed, ref } from 'vue'
import { listVersions, restoreVersion } from '@/api/versions'
import { usePolling } from '@/composables/usePolling'

const AT_REST = new Set(['ready', 'failed', 'stored', 'archived'])

/** The versions of a file: one that is on its way, the current one, earlier ones. While one is being read its list is looked at again. */
export function useVersions(base: string, file: string) {
  const items = ref<Version[]>([])
  const isLoaded = ref(false)
  const isWorking = computed(() => items.value.some(one => !AT_REST.has(one.state)))
  const current = computed(() => items.value.find(one => one.current) ?? null)

  async function look(): Promise<void> {
    items.value = await listVersions(base, file)
    isLoaded.value = true
  }
  const polling = usePolling(look, () => isWorking.value)

  async function load(): Promise<void> {
    await look()
    polling.wake()
  }

  /** Returns whether it is searched already: one that is kept without its vectors is read again. */
  async function restore(version: Version): Promise<boolean> {
    const { state } = await restoreVersion(base, file, version.document_id)
    await load()
    return state === 'ready'
  }

  return { items, current, isLoaded, isWorking, load, restore }
}

export type Versions = ReturnType<typeof useVersions>
