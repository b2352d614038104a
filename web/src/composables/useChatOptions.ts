import type { Mode, Question } from '@/api/answers'
import { computed, ref, shallowRef } from 'vue'
import { useSessionsStore } from '@/stores/sessions'

/** What the drawer sets and the session keeps. What is left out is the server's default. */
export type ChatOptions = Pick<Question, 'knowledge_base_name' | 'other_knowledge_bases' | 'model_name' | 'prompt_name' | 'temperature' | 'max_tokens' | 'history_count' | 'top_k' | 'score_threshold'>

/** What the server does where a session says nothing. */
export const DEFAULTS = { history_count: 10, temperature: 0.7, top_k: 3, score_threshold: 1 }

const NAMES = ['knowledge_base_name', 'other_knowledge_bases', 'model_name', 'prompt_name', 'temperature', 'max_tokens', 'history_count', 'top_k', 'score_threshold'] as const
const MODES: Record<string, Mode> = { LLM: 'llm_chat', Knowledge: 'knowledge_base_chat', SearchEngine: 'search_engine_chat', Agent: 'agent_chat' }

function parse(param: string): ChatOptions {
  try {
    const given = JSON.parse(param) as Record<string, unknown>
    // Old pages left empty texts and nulls.
    return Object.fromEntries(NAMES.map(name => [name, given[name]]).filter(([, value]) => value !== null && value !== undefined && value !== ''))
  }
  catch {
    return {}
  }
}

const tidy = (title: string) => title.replace(/\s+/g, ' ').trim()

/** How a session asks: its mode and options, kept by the server with the session. */
export function useChatOptions(sessionId: string) {
  const sessions = useSessionsStore()
  // Replaced as a whole, and plain inside: a question is kept in IndexedDB, which takes no proxies.
  const options = shallowRef<ChatOptions>({})
  const mode = ref<keyof typeof MODES & string>('LLM')
  const name = ref('')
  const answerMode = computed<Mode>(() => MODES[mode.value] ?? 'llm_chat')

  /** Take over what the session was saved with; returns whether there is such a session. */
  async function load(isOld = false): Promise<boolean> {
    const item = await sessions.fetch(sessionId, isOld)
    if (!item)
      return false
    options.value = parse(item.param)
    mode.value = item.mode in MODES ? item.mode : 'LLM'
    name.value = item.session_name
    return true
  }

  function choose(knowledgeBase: string): void {
    const { knowledge_base_name: _, other_knowledge_bases: others, ...rest } = options.value
    const beside = others ? { other_knowledge_bases: others } : {}
    options.value = knowledgeBase ? { ...rest, ...beside, knowledge_base_name: knowledgeBase } : rest
    mode.value = knowledgeBase ? 'Knowledge' : 'LLM'
  }

  /** What is undefined is the server's default again. */
  function set(changes: { [K in keyof ChatOptions]?: ChatOptions[K] | undefined }): void {
    const next = { ...options.value, ...changes }
    options.value = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined))
  }

  /** Everything but where answers are looked for. */
  function reset(): void {
    const { knowledge_base_name: base } = options.value
    options.value = base ? { knowledge_base_name: base } : {}
  }

  /** What goes with a question; other kinds of answers are refused where else to look. */
  const asked = computed<ChatOptions>(() => {
    const { other_knowledge_bases: others, ...rest } = options.value
    return others && answerMode.value === 'knowledge_base_chat' ? { ...rest, other_knowledge_bases: others } : rest
  })

  /** Save with the session; the first question names it, also one that has had a file's name so far. */
  async function save(title = '', fileNames: string[] = []): Promise<void> {
    if (title && fileNames.some(file => tidy(file).startsWith(name.value)))
      name.value = ''
    name.value ||= tidy(title)
    if (name.value)
      await sessions.save({ session_id: sessionId, session_name: name.value, mode: mode.value }, options.value)
  }

  /** Make sure that the server knows the session, before anything is attached to it. */
  async function ensure(title: string): Promise<void> {
    if (!sessions.get(sessionId))
      await save(title)
  }

  return { options, asked, mode, answerMode, name, load, choose, set, reset, save, ensure }
}
