import { mount } from '@vue/test-utils'
import { expect, it } from 'vitest'
import KnowledgeCard from '@/components/KnowledgeCard.vue'
import { plugins } from '../support'

const base = { kb_name: 'hr-2', kb_zh_name: 'Handbook', kb_info: '', file_count: 3 } as never

it('tells knowledge bases of one name apart where that matters', async () => {
  const global = { plugins: [...await plugins()] }
  const read = (props: object) => mount(KnowledgeCard, { props: { base, ...props }, global }).get('.count').text()
  expect(read({ identified: true })).toMatch(/3.* · hr-2$/)
  expect(read({})).not.toContain('hr-2')
  expect(read({ identified: true, base: { ...base as object, kb_zh_name: '' } })).not.toContain('hr-2')
})
