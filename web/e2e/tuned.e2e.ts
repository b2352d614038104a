import { describe, it } from 'vitest'
import { caller } from './base'
import { check, LOOKS } from './looks'
import { useBrowser } from './support'

// What editors say of documents and of searches, as people see it.
describe.each(LOOKS)('labels and search settings, on a %s', (name, look) => {
  const { enter } = useBrowser()
  const words = (zh: string, en: string) => look.language === 'en' ? en : zh

  it('can be used by everybody', async () => {
    const { call, makeBase, dropBase } = await caller()
    const lines = Array.from({ length: 24 }, (_, n) => `第${n}条规定写在这里，请大家都按它办理。违反第${n}条的人要向部门经理说明原因。第${n}条从公布的第${n + 1}天起生效，由行政部解释。`)
    const files = Object.fromEntries(lines.map((line, n) => [`规定 ${n}.txt`, line]))
    const base = await makeBase('规章制度', files, { tags: '人事,2024', properties: '{"部门": "行政", "生效": "2024-03-01"}' })
    await call('/knowledge_base/update_document', { knowledge_base_name: base, file_name: '规定 0.txt', visible_to: ['zhang.san', 'li.si'] })
    const page = await enter('editor', look, `manage/${base}`)
    await page.locator('.row .labels').first().waitFor()
    await page.getByText(words('给接下来上传的文件加标签', 'Tags and readers of what')).click()
    await page.getByRole('button', { name: words('添加属性', 'Add a property') }).click()
    await check(page, `documents-labelled-${name}`)
    await page.locator('.row .open').first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: words('标签、属性与可见范围', 'Tags, properties, who sees it') }).waitFor()
    await check(page, `document-${name}`)
    await sheet.getByRole('button', { name: words('标签、属性与可见范围', 'Tags, properties, who sees it') }).click()
    await page.locator('#labels').waitFor()
    await check(page, `labels-${name}`)
    await page.keyboard.press('Escape')
    await page.locator('#labels').waitFor({ state: 'detached' })
    await page.keyboard.press('Escape')

    await call('/knowledge_base/update_retrieval', { knowledge_base_name: base, words: 0.4, stop_words: ['请问', '公司'], synonyms: [['年假', '年休假'], ['VPN', '远程接入']] })
    await page.getByRole('link', { name: words('命中测试', 'Try a search') }).click()
    await page.getByRole('textbox').first().fill('第 3 条规定')
    await page.keyboard.press('Enter')
    await page.locator('.hit').first().waitFor()
    await page.getByText(words('换一种设置试试', 'Try other settings')).click()
    await check(page, `tried-${name}`)
    await page.getByText(words('换一种设置试试', 'Try other settings')).click()
    await page.getByText(words('只在部分文件里找', 'Look in some files only')).click()
    await page.getByRole('combobox', { name: words('标签', 'Tags') }).fill('人事')
    await page.keyboard.press('Tab')
    await page.locator('.filters .kind').selectOption('date')
    await check(page, `filters-${name}`)

    await page.getByRole('button', { name: words('检索设置', 'Search settings') }).click()
    await page.locator('.mark.own').first().waitFor()
    await page.getByRole('slider').nth(1).fill('0.6')
    await check(page, `retrieval-${name}`)
    await page.locator('textarea').scrollIntoViewIfNeeded()
    await check(page, `retrieval-words-${name}`)
    // So few passages take no time.
    await page.route('**/knowledge_base/calibrate', route => setTimeout(() => void route.continue(), 4000))
    await page.getByRole('button', { name: words('开始校准', 'Calibrate') }).click()
    await page.locator('.running').scrollIntoViewIfNeeded()
    await check(page, `calibrating-${name}`)
    await page.locator('.kept').waitFor({ timeout: 90_000 })
    await page.getByRole('button', { name: words('不用这个结果', 'Do without it') }).scrollIntoViewIfNeeded()
    await check(page, `calibrated-${name}`)
    await dropBase(base)
  }, 180_000)
})
