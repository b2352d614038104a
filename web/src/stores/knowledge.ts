import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { get } from '@/api/client'

export type KnowledgeBase = Awaited<ReturnType<typeof list>>[number]

const list = () => get('/knowledge_base/list_knowledge_bases_v2')

/** The knowledge bases that the caller sees. */
export const useKnowledgeStore = defineStore('knowledge', () => {
  const bases = ref<KnowledgeBase[]>([])
  const isLoaded = ref(false)
  const byName = computed(() => new Map(bases.value.map(base => [base.kb_name, base])))

  /** Asks the server each time; what was there stays until the answer comes. */
  async function load(): Promise<void> {
    bases.value = await list()
    isLoaded.value = true
  }

  const titleOf = (name: string) => byName.value.get(name)?.kb_zh_name || name

  return { bases, byName, isLoaded, load, titleOf }
})
