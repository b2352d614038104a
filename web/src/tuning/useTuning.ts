import type { components } from '@/api/schema'
import { computed, ref, shallowRef } from 'vue'
import { get, post } from '@/api/client'

type Schemas = components['schemas']
type Body = Omit<Schemas['UpdateRetrieval'], 'knowledge_base_name' | 'calibration'>
export type Calibration = Schemas['CalibrationOut']
/** How a knowledge base is searched, value by value. */
export type Settings = { [K in keyof Body]-?: NonNullable<Body[K]> }
export type Name = keyof Settings
export type Tuning = ReturnType<typeof useTuning>

/** What a knowledge base says of its searches itself, and what holds for it. Changes are drafts until they are kept. */
export function useTuning(base: string) {
  const told = shallowRef<Schemas['RetrievalOut'] | null>(null)
  const draft = ref<Partial<Settings>>({})
  const isBusy = ref(false)

  const effective = computed(() => told.value?.effective as Settings | undefined)
  const own = computed(() => (told.value?.own ?? {}) as Partial<Settings>)
  const isChanged = computed(() => Object.keys(draft.value).length > 0)

  const originOf = (name: Name) => name in draft.value ? 'draft' : name in own.value ? 'own' : 'server'
  const valueOf = <N extends Name>(name: N) => (draft.value[name] ?? effective.value?.[name]) as Settings[N] | undefined

  /** Another value, or with undefined the one that is kept. */
  function set<N extends Name>(name: N, value: Settings[N] | undefined): void {
    const { [name]: _, ...rest } = draft.value
    const isAsKept = JSON.stringify(value) === JSON.stringify(effective.value?.[name])
    draft.value = (value === undefined || isAsKept ? rest : { ...rest, [name]: value }) as Partial<Settings>
  }

  /** Raises what the server refuses. */
  async function change(changes: Partial<Body & { calibration: null }>): Promise<void> {
    isBusy.value = true
    try {
      told.value = await post('/knowledge_base/update_retrieval', { knowledge_base_name: base, ...changes })
    }
    finally {
      isBusy.value = false
    }
  }

  async function keep(): Promise<void> {
    await change(draft.value)
    draft.value = {}
  }

  const asServer = (...names: Name[]) => change(Object.fromEntries(names.map(name => [name, null])))
  const forget = () => change({ calibration: null })
  async function load(): Promise<void> { told.value = await get('/knowledge_base/retrieval', { knowledge_base_name: base }) }

  /** Answers when it is done, after a minute or so. */
  async function calibrate(): Promise<void> {
    await post('/knowledge_base/calibrate', { knowledge_base_name: base, count: 200 })
    await load()
  }

  return { told, draft, effective, own, isBusy, isChanged, originOf, valueOf, set, change, keep, asServer, forget, load, calibrate }
}
