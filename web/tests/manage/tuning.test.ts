import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it } from 'vitest'
import { loadArea } from '@/i18n'
import TestPanel from '@/manage/TestPanel.vue'
import { groupsOf } from '@/manage/words'
import RetrievalPage from '@/tuning/RetrievalPage.vue'
import { ok, plugins, refuse, serve, signIn } from '../support'

const server = { words: 0.5, fusion: 'score', collapse: true, diversity: 0, stop_words: [], synonyms: [], rerank: '', candidates: 30, threshold: 1, expand: 600 }
const measured = { floor: 3.21, by: 'sentences', words: 0.5, embed_model: 'e5', generation: 3, measured_at: '2026-05-01', counts: { made: 180, asked: 2 }, answerable: {}, unanswerable: {}, asked: {}, refused: 0.74 }

/** A server that keeps what it is told. */
function keepWhatIsTold(own: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  const bodies: Record<string, unknown>[] = []
  const state = { own, more: { rerankers: [], calibration: null, is_calibrated: false, ...more } as Record<string, unknown> }
  const told = () => ok({ own: state.own, effective: { ...server, ...state.own }, ...state.more })
  serve({
    'GET /knowledge_base/retrieval': told,
    'POST /knowledge_base/update_retrieval': ({ knowledge_base_name, calibration, ...changes }) => {
      bodies.push({ knowledge_base_name, ...changes, ...(calibration === undefined ? {} : { calibration }) })
      if (changes.threshold === 0)
        return refuse(422, 'Not so near')
      if (calibration === null)
        state.more.calibration = null
      state.own = Object.fromEntries(Object.entries({ ...state.own, ...changes }).filter(([, value]) => value !== null))
      return told()
    },
    'POST /knowledge_base/calibrate': () => {
      Object.assign(state.more, { calibration: measured, is_calibrated: true })
      return ok(measured)
    },
    'GET /knowledge_base/documents': () => ok({ items: [], total: 0 }),
    'POST /knowledge_base/explain': () => ok({ query: 'q', question: 'q', hits: [], candidates: [], trace: {}, expected: null }),
  })
  return bodies
}

async function show(component: object) {
  const given = await plugins()
  await Promise.all(['manage', 'search', 'tuning'].map(loadArea))
  const wrapper = mount(component, { props: { base: 'hr' }, global: { plugins: [...given], stubs: { RouterLink: { template: '<a><slot /></a>' } } } })
  await flushPromises()
  return wrapper
}
type Shown = Awaited<ReturnType<typeof show>>
async function press(wrapper: Shown, words: string) {
  await wrapper.findAll('button').find(button => button.text() === words)!.trigger('click')
  await flushPromises()
}

beforeEach(() => signIn())

it('what proved good in a hit test is kept, and given back to the server', async () => {
  const bodies = keepWhatIsTold({ fusion: 'rank' })
  const wrapper = await show(TestPanel)
  expect(wrapper.text()).toContain('words 50% · meaning 50% · the server’s')
  expect(wrapper.text()).toContain('How the two rankings become one · its own')
  await wrapper.findAll('[type=range]')[1]!.setValue('0.8')
  expect(wrapper.text()).toContain('words 80% · meaning 20% · tried')
  await press(wrapper, 'Keep for this knowledge base')
  expect(bodies).toEqual([{ knowledge_base_name: 'hr', words: 0.8 }])
  expect(wrapper.text()).toContain('words 80% · meaning 20% · its own')
  await press(wrapper, 'All as the server again')
  expect(bodies[1]).toEqual({ knowledge_base_name: 'hr', words: null, fusion: null })
  expect(wrapper.text()).toContain('words 50% · meaning 50% · the server’s')
})

it('each setting tells whose it is, and drafts are kept together', async () => {
  const bodies = keepWhatIsTold({ diversity: 0.3 })
  const wrapper = await show(RetrievalPage)
  expect(wrapper.findAll('.mark').map(mark => mark.text()).sort()).toEqual(['its own', ...Array.from({ length: 5 }).fill('the server’s')])
  expect(wrapper.find('select').exists()).toBe(false)
  expect(wrapper.find('.foot').exists()).toBe(false)

  await wrapper.findAll('[type=range]')[0]!.setValue('0.2')
  await wrapper.get('.words .field').setValue(' Acme，请问 , 请问')
  await wrapper.get('.words .field').trigger('keydown', { key: 'Enter' })
  await wrapper.get('textarea').setValue('leave、 holiday\nVPN\na,b，c')
  expect(wrapper.text()).toContain('One word alone in line 2')
  await press(wrapper, 'Keep for this knowledge base')
  expect(bodies).toEqual([{ knowledge_base_name: 'hr', words: 0.2, stop_words: ['Acme', '请问'], synonyms: [['leave', 'holiday'], ['a', 'b', 'c']] }])
  expect(wrapper.get<HTMLTextAreaElement>('textarea').element.value).toBe('leave、holiday\na、b、c')
  await wrapper.get('[aria-label="Take Acme out"]').trigger('click')
  await press(wrapper, 'Discard')
  expect(wrapper.findAll('.chip').map(chip => chip.text())).toEqual(['Acme', '请问'])

  await press(wrapper, 'As the server again')
  expect(bodies[1]).toEqual({ knowledge_base_name: 'hr', words: null })
})

it('a reranker can be chosen where there is one, and what is refused is said', async () => {
  const bodies = keepWhatIsTold({}, { rerankers: ['bge'] })
  const wrapper = await show(RetrievalPage)
  await wrapper.get('select').setValue('bge')
  expect(wrapper.text()).toContain('Passages that it orders')
  await wrapper.findAll('[type=range]')[1]!.setValue('1')
  await press(wrapper, 'Keep for this knowledge base')
  expect(bodies[0]).toMatchObject({ rerank: 'bge', threshold: 0 })
  expect(wrapper.get('.foot [role=alert]').text()).toContain('Not so near')
})

it('calibration is done, told and forgotten', async () => {
  const bodies = keepWhatIsTold()
  const wrapper = await show(RetrievalPage)
  expect(wrapper.find('.kept').exists()).toBe(false)
  await wrapper.findAll('button').find(button => button.text() === 'Calibrate')!.trigger('click')
  expect(wrapper.get('.running').text()).toContain('Calibrating')
  await flushPromises()
  expect(wrapper.find('.running').exists()).toBe(false)
  for (const words of ['In use', '180 sentences of the files · 2026-05-01', '3.21', '74%'])
    expect(wrapper.get('.kept').text()).toContain(words)
  await press(wrapper, 'Do without it')
  expect(bodies).toEqual([{ knowledge_base_name: 'hr', calibration: null }])
  expect(wrapper.find('.kept').exists()).toBe(false)
})

it('a calibration that does not hold says so', async () => {
  keepWhatIsTold({}, { calibration: measured })
  expect((await show(RetrievalPage)).get('.kept').text()).toContain('Does not hold any more')
  keepWhatIsTold({ fusion: 'rank' }, { calibration: measured, is_calibrated: true })
  expect((await show(RetrievalPage)).get('.kept').text()).toContain('Not in use')
})

it('lines of synonyms are groups', () => {
  expect(groupsOf('a, b\n\n c\n一、二，三')).toEqual({ groups: [['a', 'b'], ['一', '二', '三']], alone: [3] })
})
