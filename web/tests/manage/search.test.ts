import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it } from 'vitest'
import { fromRow } from '@/composables/chatMessage'
import { loadArea } from '@/i18n'
import TestPanel from '@/manage/TestPanel.vue'
import TraceSheet from '@/manage/TraceSheet.vue'
import { ok, plugins, refuse, serve, signIn } from '../support'

const found = { chunk_id: 1, document_id: 'd', file_name: 'rules.pdf', place: 'rules.pdf · page 3', anchor: { page: 3 }, text: '🙂 Annual leave is 10 days', matched: [[9, 14]], outcome: 'hit', rank: 1, fused: 12.5, score: 0.5, near: 3, vector_rank: 2, words: 0.75, word_rank: 1 }
const other = { ...found, chunk_id: 2, place: 'old.pdf', outcome: 'threshold', rank: 2, word_rank: null }
const trace = { kbs: { hr: 1 }, question: 'How much leave is there?', milliseconds: { embed: 3.2, fuse: 0.4 }, style: { words: 0.4, fusion: 'score' }, terms: [['leave', 7]], candidates: [{ ...found, chunk: 1 }, { ...other, chunk: 2 }] }
const explained = { query: 'leave', question: 'leave', hits: [found], candidates: [found, other], trace, expected: null }
const why = { found: false, reason: 'threshold', message: 'Its distance exceeds the threshold', candidate: other }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'search', 'source'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { AppSheet: { template: '<div><slot /><slot name="foot" /></div>' }, RouterLink: { props: ['to'], template: '<a>{{ to.query?.q }}<slot /></a>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('a hit test tells how each passage came, and tries settings without keeping them', async () => {
  const bodies: Record<string, unknown>[] = []
  serve({
    'GET /knowledge_base/documents': () => ok({ items: [{ file_name: 'rules.pdf' }], total: 1 }),
    'POST /knowledge_base/explain': (body) => {
      bodies.push(body)
      return ok({ ...explained, expected: body.expected ? why : null })
    },
  })
  const wrapper = await show(TestPanel, { base: 'hr' })
  await wrapper.get('input').setValue(' leave ')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(bodies[0]).toEqual({ knowledge_base_name: 'hr', query: 'leave', top_k: 5 })
  expect(wrapper.get('.hit mark').text()).toBe('leave')
  const facts = wrapper.get('.hit .facts').text()
  for (const words of ['rank 2 · likeness 75%', 'rank 1 · has 75%', 'score 12.50', 'taken'])
    expect(facts).toContain(words)
  expect(wrapper.get('.others').text()).toContain('old.pdf · not alike enough')
  expect(wrapper.get('.terms').text()).toContain('leavein 7 passages')
  expect(wrapper.get('.steps').text()).toContain('embedding3.2 ms')

  await wrapper.findAll('[type=range]')[1]!.setValue('0.8')
  await wrapper.findAll('[type=radio]')[2]!.setValue()
  await wrapper.get('.expected input').setValue('rules.pdf')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(bodies[1]).toMatchObject({ settings: { words: 0.8, fusion: 'rank' }, expected: { file_name: 'rules.pdf' } })
  expect(wrapper.get('.why').text()).toContain('Its distance exceeds the threshold')
})

it('tells where a reranker put a passage', async () => {
  serve({ 'POST /knowledge_base/explain': () => ok({ ...explained, hits: [{ ...found, rerank: 0.913, rerank_rank: 4 }], trace: { ...trace, rerank: { name: 'bge', outcome: 'late', candidates: 30 } } }) })
  const wrapper = await show(TestPanel, { base: 'hr' })
  await wrapper.get('input').setValue('leave')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(wrapper.get('.hit .facts').text()).toContain('Rerankedrank 4 · score 0.91')
  expect(wrapper.get('.others').text()).not.toContain('Reranked')
  expect(wrapper.text()).toContain('bge did not answer in time')
})

it('says what went wrong', async () => {
  serve({ 'POST /knowledge_base/explain': () => refuse(503, 'Later') })
  const wrapper = await show(TestPanel, { base: 'hr' })
  await wrapper.get('input').setValue('leave')
  await wrapper.get('form').trigger('submit')
  await flushPromises()
  expect(wrapper.get('[role=alert]').text()).toContain('Later')
})

it('an answer tells how it was searched for, by its sources', async () => {
  serve({ 'GET /chat/answers/m/trace': () => ok({ query: 'q', trace: { ...trace, candidates: [...trace.candidates, { ...other, chunk: 3 }] }, passages: [{ chunk_id: 2, file_name: 'old.pdf', place: 'old.pdf · page 9' }] }) })
  const message = fromRow({ id: 'm', query: 'And leave?', response: 'r', docs: [], create_time: '', state: 'done', error_code: null, feedback_score: null, sources: [{ number: 1, chunk_id: 1, text: 'p', file_name: 'rules.pdf' }] })
  const wrapper = await show(TraceSheet, { open: true, message })
  expect(wrapper.get('.others').text()).toContain('1. rules.pdf · taken')
  expect(wrapper.get('.others').text()).toContain('old.pdf · page 9 · not alike enough')
  expect(wrapper.get('.others').text()).toContain('a passage that is gone or not yours to see · not alike')
  expect(wrapper.text()).toContain('What was searched for: How much leave is there?')
  expect(wrapper.get('a').text()).toContain('How much leave is there?')
})
