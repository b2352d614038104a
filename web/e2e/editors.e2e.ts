import { Buffer } from 'node:buffer'
import { describe, it } from 'vitest'
import { check, LOOKS } from './looks'
import { ask, lastAnswer, useBrowser, whole } from './support'

// How answers tell what bears them out, and what editors look into, as people see it.
describe.each(LOOKS)('what is behind answers, on a %s', (name, look) => {
  const { enter } = useBrowser()
  const words = (zh: string, en: string) => look.language === 'en' ? en : zh

  it('can be used by everybody', async () => {
    const page = await enter('editor', look)
    await page.locator('.card').first().click()
    await ask(page, '年假有几天？编一个')
    await whole(page)
    await lastAnswer(page).locator('.doubtful').waitFor()
    await check(page, `doubtful-${name}`)
    await lastAnswer(page).locator('.doubtful').click()
    const sheet = page.getByRole('dialog')
    await sheet.locator('.doubts').waitFor()
    await check(page, `doubts-${name}`)
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: words('检索过程', 'How this was searched for') }).click()
    await sheet.locator('.steps').waitFor()
    await check(page, `trace-${name}`)
    await sheet.locator('.foot a').click()

    await page.locator('.hit').first().waitFor()
    await page.locator('.hit summary').first().click()
    await page.getByText(words('换一种设置试试', 'Try other settings')).click()
    await check(page, `explained-${name}`)
    await page.locator('.expected .field').last().fill('没有这句话')
    await page.locator('.expected button').click()
    await page.locator('.why').waitFor()
    await page.locator('.why').scrollIntoViewIfNeeded()
    await check(page, `why-not-${name}`)

    await page.getByRole('link', { name: words('评测', 'Evaluate') }).click()
    await page.getByRole('button', { name: words('新建问题集', 'New question set') }).click()
    await sheet.locator('.field').fill(`${name} ${Date.now()}`)
    await sheet.getByRole('button', { name: words('保存', 'Save') }).click()
    await page.locator('input[type=file]').setInputFiles({ name: 'a.csv', mimeType: 'text/csv', buffer: Buffer.from('question,gold_files\n病假怎么申请？,员工手册.md\n年休假有几天？,没有.md\n') })
    await page.locator('.imported').waitFor()
    for (const run of ['one', 'two']) {
      await page.getByRole('button', { name: words('开始评测', 'Start a run') }).click()
      await sheet.locator('.field').first().fill(run)
      if (run === 'one')
        await check(page, `start-${name}`)
      await sheet.locator('[type=submit]').click()
      await page.getByRole('link', { name: run }).waitFor({ timeout: 60_000 })
    }
    await check(page, `set-${name}`)
    await page.getByRole('link', { name: 'one' }).click()
    await page.locator('.result').first().waitFor()
    await check(page, `run-${name}`)
    await page.goBack()
    await page.locator('.pick input').nth(1).waitFor()
    for (const box of await page.locator('.pick input').all())
      await box.check()
    await page.getByRole('button', { name: words('比较选中的两次', 'Compare the two') }).click()
    await page.locator('.keys').waitFor()
    await check(page, `comparison-${name}`)
  }, 240_000)
})
