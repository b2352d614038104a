import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it } from 'vitest'
import ComparePage from '@/evaluate/ComparePage.vue'
import GoldPart from '@/evaluate/GoldPart.vue'
import { firstRank, sureness } from '@/evaluate/numbers'
import RunPage from '@/evaluate/RunPage.vue'
import RunSheet from '@/evaluate/RunSheet.vue'
import RunsPart from '@/evaluate/RunsPart.vue'
import { loadArea } from '@/i18n'
import { ok, plugins, serve, signIn } from '../support'

const value = (share: number) => ({ value: share, low: share / 2, high: 1, n: 20 })
const run = { run_id: 'r', set_id: 's', name: 'Before', state: 'done', set_name: 'Acceptance', values: { 'recall@3': value(0.5) }, summary: { questions: 2, ranked: 2, failed: 0, rank_counts: [1, 0, 1], milliseconds: { embed: { p50: 3, p95: 9 }, search_total: { p50: 8, p95: 20 } } } }
const result = { number: 1, asked: { question: 'Easy?' }, ranks: [1], hits: [], lost: null, answer: null, outcome: null, contains_gold: null, error_code: null }
const hard = { ...result, number: 2, asked: { question: 'Hard?', gold_files: ['rules.pdf'] }, ranks: [null], lost: { outcome: 'threshold' } }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'search', 'evaluate'].map(loadArea))
  const stubs = { AppSheet: { template: '<div><slot /><slot name="foot" /></div>' }, RouterLink: { props: ['to'], template: '<a :data-to="JSON.stringify(to)"><slot /></a>' } }
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('a run tells its values with intervals, and the worst question first, with the way to why', async () => {
  serve({
    'GET /knowledge_base/evaluation/runs/r': () => ok(run),
    'GET /knowledge_base/evaluation/runs/r/results?order=worst&page=1': () => ok({ items: [hard], total: 2 }),
    'GET /knowledge_base/evaluation/runs/r/results?order=worst&page=2': () => ok({ items: [result], total: 2 }),
  })
  const wrapper = await show(RunPage, { base: 'hr', run: 'r' })
  expect(wrapper.get('.plot').text()).toContain('Recall@350.0% (25.0%–100%)')
  expect(wrapper.get('.steps').text()).toBe('embedding3.0 ms')
  expect(wrapper.text()).toContain('search 8 ms in all')
  expect(wrapper.get('.bars').text()).toContain('not found: 1')
  await wrapper.get('.button.wide').trigger('click')
  await flushPromises()
  const rows = wrapper.findAll('.result').map(row => row.text())
  expect(rows[0]).toContain('Hard?not found · not alike enough')
  expect(rows[1]).toContain('Easy?rank 1')
  expect(JSON.parse(wrapper.get('.why').attributes('data-to')!)).toMatchObject({ query: { q: 'Hard?', file: 'rules.pdf' } })
})

it('a run that goes on can be cancelled, and what it has measured stays', async () => {
  let state = { ...run, name: 'Long', state: 'running', reason: null, done: 3, total: 9, percent: 33, values: {}, create_time: '2026-01-01T00:00:00Z' }
  serve({
    'GET /knowledge_base/evaluation/runs?': () => ok({ items: [state] }),
    'POST /knowledge_base/evaluation/runs/r/cancel': () => {
      state = { ...state, state: 'cancelled' }
      return ok(state)
    },
  })
  const wrapper = await show(RunsPart, { base: 'hr', set: 's', count: 9 })
  expect(wrapper.get('.run').text()).toContain('running · 3 of 9')
  expect(wrapper.find('.run a').exists()).toBe(false)
  await wrapper.get('.run > .button').trigger('click')
  await flushPromises()
  expect(wrapper.get('.run a').text()).toContain('cancelled · 3 of 9')
  expect(wrapper.find('.run > .button').exists()).toBe(false)
  wrapper.unmount()
})

it('two runs are compared in words, too', async () => {
  const changed = { question_id: 1, question: 'Hard?', base: { ranks: [null], outcome: null, contains_gold: null }, other: { ranks: [2], outcome: null, contains_gold: null } }
  serve({ 'GET /knowledge_base/evaluation/compare?base=a&other=b': () => ok({
    base: run,
    other: { ...run, name: 'After' },
    pairs: 20,
    changed: 0,
    unmatched: 1,
    conditions: [{ name: 'retrieval.words', base: 0.5, other: 1 }],
    values: { 'mrr@10': { base: value(0.4), other: value(0.6), difference: { ...value(0.2), p: 0.0004 } } },
    decisions: { 'hit@3': { base: value(0.4), other: value(0.5), mcnemar: { gained: 3, lost: 1, p: 0.6 } } },
    better: [changed],
    worse: [],
    better_total: 1,
    worse_total: 0,
  }) })
  const text = (await show(ComparePage, { base: 'hr', first: 'a', second: 'b' })).text()
  for (const words of ['MRR@10difference +20.0% · very likely real (p < 0.001)', 'Hit@33 right now, 1 wrong now · may be chance (p 0.600)', 'Weight of words0.5 → 1', 'Better: 1', 'Hard?not found → rank 2'])
    expect(text).toContain(words)
})

it('a question is stored with what was said of it alone', async () => {
  const bodies: unknown[] = []
  serve({
    'GET /knowledge_base/evaluation/questions': () => ok({ items: [], total: 0 }),
    'POST /knowledge_base/evaluation/questions': (body) => {
      bodies.push(body)
      return ok({})
    },
  })
  const wrapper = await show(GoldPart, { set: 's' })
  await wrapper.get('.bar button').trigger('click')
  const fields = wrapper.findAll('#gold .field')
  await fields[0]!.setValue(' How long? ')
  await fields[1]!.setValue('a.pdf | b.pdf')
  await wrapper.get('#gold').trigger('submit')
  await flushPromises()
  expect(bodies).toEqual([{ set_id: 's', question: 'How long?', gold_files: ['a.pdf', 'b.pdf'] }])
  expect(wrapper.emitted('changed')).toHaveLength(1)
})

it('a run that costs something begins when that was accepted', async () => {
  const accepted: unknown[] = []
  serve({
    'POST /llm_model/list_running_models': () => ok({ big: {} }),
    'POST /knowledge_base/evaluation/runs': (body) => {
      accepted.push(body.accept_cost)
      return body.accept_cost ? ok({}, 202) : Response.json({ code: 409, msg: '20 calls', error: { code: 'cost_not_accepted', request_id: 'r' } }, { status: 409 })
    },
  })
  const wrapper = await show(RunSheet, { open: true, set: 's' })
  await wrapper.get('select').setValue('big')
  await wrapper.get('#run').trigger('submit')
  await flushPromises()
  expect(wrapper.text()).toContain('20 calls')
  expect(wrapper.get('[type=submit]').text()).toBe('Understood, start')
  await wrapper.get('#run').trigger('submit')
  await flushPromises()
  expect([accepted, wrapper.emitted('started')?.length]).toEqual([[false, true], 1])
})

it('numbers mean what they say', () => {
  expect([firstRank([null, 4, 2]), firstRank([null])]).toEqual([2, null])
  expect([sureness(0.001), sureness(0.03), sureness(0.05)]).toEqual(['sure', 'likely', 'chance'])
})
