import { expect, it } from 'vitest'
import { caller } from './base'
import { useBrowser } from './support'

const { enter } = useBrowser()
const THINGS = ['茶叶', '相机', '自行车', '雨伞', '书架', '台灯', '水壶', '风扇', '键盘', '毛衣', '吉他', '帐篷', '花盆', '冰箱', '手表', '拖鞋', '窗帘', '剪刀', '地毯', '钢笔', '耳机', '围巾', '沙发', '铁锅']
const FILES = Object.fromEntries(THINGS.map((thing, n) => [`${thing}.txt`, `${thing}要放在干燥的地方，每年检查${n + 2}次。买来的${thing}满${n + 3}个月可以换新，要带上收据。坏了的${thing}请送到${n + 1}号柜台去修。`]))

it('how a knowledge base is searched is tried, kept and given back; its words and its bar are its own', async () => {
  const { call, makeBase, dropBase } = await caller()
  const base = await makeBase('器物', FILES)
  const own = async () => (await call(`/knowledge_base/retrieval?knowledge_base_name=${base}`) as { own: Record<string, unknown> }).own
  const page = await enter('editor', {}, `manage/${base}/test`)

  // Kept from a hit test.
  await page.getByText('换一种设置试试').click()
  const weight = page.getByRole('slider', { name: '词语与含义的比重' })
  await page.getByText('词语 50% · 含义 50% · 服务器默认').waitFor()
  await weight.fill('0.7')
  await page.getByText('词语 70% · 含义 30% · 试一下').waitFor()
  await page.getByRole('button', { name: '保存到知识库' }).click()
  await page.getByText('词语 70% · 含义 30% · 本知识库').waitFor()
  expect(await own()).toEqual({ words: 0.7 })

  // All of them, on a page of their own.
  await page.getByRole('link', { name: '全部检索设置' }).click()
  await page.getByRole('heading', { name: '检索设置' }).waitFor()
  await page.locator('.mark.own').waitFor()
  expect(await page.getByLabel('重排模型').count()).toBe(0)
  await page.getByRole('textbox', { name: '停用词' }).fill('请问，公司')
  await page.keyboard.press('Enter')
  await page.getByLabel('同义词').fill('单车、自行车，脚踏车')
  await page.getByRole('button', { name: '改回服务器默认' }).click()
  await page.locator('.mark.own').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: '保存到知识库' }).click()
  // The bar with the button leaves when the server has them; the word for it may still stand there from before.
  await page.getByRole('button', { name: '保存到知识库' }).waitFor({ state: 'detached' })
  await page.getByText('已保存，从下一个问题起生效').waitFor()
  expect(await own()).toEqual({ stop_words: ['请问', '公司'], synonyms: [['单车', '自行车', '脚踏车']] })

  await page.getByRole('button', { name: '开始校准' }).click()
  await page.getByText('正在使用').waitFor({ timeout: 60_000 })
  await page.getByText(/\d+ 句资料原文/).waitFor()

  // What is no subject of these files is told to be none.
  await page.getByRole('button', { name: '返回' }).click()
  const question = page.getByLabel('输入问题，看看能检索到什么')
  await question.fill('脚踏车坏了去哪里修')
  await page.keyboard.press('Enter')
  expect(await page.locator('.hit').first().textContent()).toContain('自行车')
  await question.fill('How do I reset my password?')
  await page.keyboard.press('Enter')
  await page.getByText('没有检索到').waitFor()
  await page.goto(`/h5/manage/${base}/retrieval`)
  await page.getByRole('button', { name: '不用这个结果' }).click()
  await page.getByRole('button', { name: '开始校准' }).waitFor()
  await page.getByRole('button', { name: '返回' }).click()
  await dropBase(base)
}, 120_000)
