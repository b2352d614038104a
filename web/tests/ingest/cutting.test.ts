import type { Cut } from '@/api/chunks'
import { flushPromises, mount } from '@vue/test-utils'
import { beforeEach, expect, it, vi } from 'vitest'
import { reactive } from 'vue'
import { cutBy, cutFields, cutOf, cutProblem } from '@/chunks/cut'
import CutSheet from '@/chunks/CutSheet.vue'
import { loadArea } from '@/i18n'
import DocumentsPanel from '@/manage/DocumentsPanel.vue'
import UploadZone from '@/manage/UploadZone.vue'
import { ok, plugins, refuse, serve, signIn } from '../support'
import { catchUploads } from '../uploads'

const sheet = { props: ['title'], template: '<div class="sheet"><slot name="left" /><slot /><slot name="foot" /></div>' }

async function show(component: object, props: object) {
  const given = await plugins()
  await Promise.all(['manage', 'ingest', 'source'].map(loadArea))
  const wrapper = mount(component, { props, global: { plugins: [...given], stubs: { AppSheet: sheet, RouterLink: { template: '<a><slot /></a>' } } } })
  await flushPromises()
  return wrapper
}

beforeEach(() => signIn())

it('what is sent of a way of cutting is what it heeds', () => {
  const cut = cutOf({ chunk_method: 'parent_child', chunk_size: 200, chunk_overlap: 20, parent_size: 900, zh_title_enhance: true })
  expect(cutFields(cut)).toEqual({ chunk_method: 'parent_child', parent_size: 900, chunk_size: 200, chunk_overlap: 20, zh_title_enhance: true })
  expect(cutFields({ ...cut, chunk_method: 'qa' })).toEqual({ chunk_method: 'qa' })
  const usual = cutOf({ chunk_size: 500 })
  expect(cutBy('heading', usual, usual)).toMatchObject({ chunk_method: 'heading', chunk_size: 1000 })
  expect(cutBy('recursive', cutBy('heading', usual, usual), usual).chunk_size).toBe(500)
  expect(cutBy('heading', { ...usual, chunk_size: 200 }, usual).chunk_size).toBe(200)
  expect(cutOf({ chunk_method: 'unheard of' }).chunk_method).toBe('recursive')
  expect([{ chunk_overlap: 200 }, { parent_size: 200 }, { chunk_size: 5 }, {}].map(changes => cutProblem({ ...cut, ...changes }))).toEqual(['overlap', 'parent', 'size', null])
})

it('a file is seen as it would be cut before it is sent, and is sent so', async () => {
  const forms: Record<string, unknown>[] = []
  const sent = catchUploads()
  serve({ 'GET /knowledge_base/documents': () => ok({ items: [], total: 0 }) })
  const other = globalThis.fetch
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    if (path !== '/knowledge_base/preview_chunks')
      return other(path, init)
    forms.push(Object.fromEntries(init.body as FormData))
    return ok({ total: 80, chars: 4000, chunks: [{ position: 0, text: 'First words', anchor: { sheet: 'Pay' }, parent: null }], warnings: ['Two sheets are hidden'] })
  })
  const wrapper = await show(DocumentsPanel, { base: 'hr' })
  wrapper.findComponent(UploadZone).vm.$emit('preview', new File(['x'], 'pay.csv'))
  await vi.waitFor(() => expect(wrapper.findComponent(CutSheet).exists()).toBe(true), 10_000)
  const cutting = wrapper.findComponent(CutSheet)
  const way = cutting.findAll('[type=radio]').find(input => input.attributes('value') === 'row')!
  await way.setValue()
  await cutting.get('[type=number]').setValue('300')
  const [look, send] = cutting.findAll('.buttons button')
  await look!.trigger('click')
  await flushPromises()
  expect(cutting.text()).toContain('80 passages, 4000 characters')
  expect(cutting.text()).toContain('Pay')
  expect(cutting.get('.notes').text()).toBe('Two sheets are hidden')
  expect(forms[0]).toMatchObject({ knowledge_base_name: 'hr', chunk_method: 'row', chunk_size: '300', limit: '50' })
  expect((forms[0]!.file as File).name).toBe('pay.csv')
  expect(forms[0]).not.toHaveProperty('chunk_overlap')
  await cutting.get('.button.wide').trigger('click')
  await flushPromises()
  expect(forms[1]).toMatchObject({ limit: '500' })
  await send!.trigger('click')
  expect(sent[0]!.form.get('chunk_method')).toBe('row')
  expect(sent[0]!.form.get('chunk_size')).toBe('300')
  wrapper.unmount()
})

it('what cannot be cut so is told, and nothing is sent that does not fit together', async () => {
  serve({ 'POST /knowledge_base/preview_chunks': () => refuse(422, 'There is no column of questions') })
  const taken: Cut[] = []
  const wrapper = await show(CutSheet, reactive({ base: 'hr', file: 'a.csv', action: 'Go', onTake: (cut: Cut) => taken.push(cut) }))
  await wrapper.findAll('.buttons button')[0]!.trigger('click')
  await flushPromises()
  expect(wrapper.text()).toContain('There is no column of questions')
  await wrapper.get('[aria-label=Back]').trigger('click')
  await wrapper.findAll('[type=number]')[1]!.setValue('900')
  expect(wrapper.get('[role=alert]').text()).toContain('must be shorter than a passage')
  expect(wrapper.findAll('.buttons button').every(button => button.attributes('disabled') !== undefined)).toBe(true)
  expect(taken).toEqual([])
})
