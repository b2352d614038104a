import type { ChatMessage } from '@/composables/chatMessage'
import type { useChat } from '@/composables/useChat'
import { expect, it, vi } from 'vitest'
import { ref } from 'vue'
import { useChatActions } from '@/composables/useChatActions'
import { signIn, within } from '../support'

it('an answer is copied without the numbers of its passages, and without the spaces before them', async () => {
  signIn()
  const writeText = vi.fn(async () => {})
  vi.stubGlobal('navigator', { ...navigator, clipboard: { writeText } })
  const { result } = await within(() => useChatActions({} as ReturnType<typeof useChat>, ref('')))
  await result.copy({ text: '年休假可以保留到次年3月31日 [1]。\n\n- 五天[2][3]' } as ChatMessage)
  expect(writeText).toHaveBeenCalledWith('年休假可以保留到次年3月31日。\n\n- 五天')
})
