import type { ChatMessage } from './chatMessage'
import type { AnswerEvent } from '@/api/events'
import { onScopeDispose } from 'vue'
import { ApiError } from '@/api/errors'
import { follow } from '@/api/stream'
import { useErrorText } from './useErrorText'
import { useModelWords } from './useModelWords'

/** Follows answers that are being written, and brings what comes into their messages: at most once per frame. */
export function useFollower(onEnd: (message: ChatMessage) => void) {
  const textOf = useErrorText()
  const ofModel = useModelWords()
  const running = new Map<string, AbortController>()

  function join(message: ChatMessage): void {
    leave(message.id)
    const controller = new AbortController()
    running.set(message.id, controller)
    let piece = ''
    let frame = 0
    const flush = () => {
      cancelAnimationFrame(frame)
      frame = 0
      message.text += piece
      piece = ''
    }
    const onEvent = (event: AnswerEvent) => {
      if (event.event === 'delta') {
        piece += event.data.text
        message.stage = { name: 'writing', count: 0 }
        // A page that is not seen gets no frames.
        frame ||= document.visibilityState === 'visible' ? requestAnimationFrame(flush) : 0
        if (!frame)
          flush()
        return
      }
      flush()
      apply(message, event, ofModel)
    }
    message.state = 'writing'
    follow({ messageId: message.id, after: [...message.text].length, signal: controller.signal, onEvent, onLost: (lost) => { message.isLost = lost } })
      .catch((error: unknown) => {
        if (controller.signal.aborted)
          return
        message.state = 'failed'
        message.problem = textOf(error)
        if (!(error instanceof ApiError))
          throw error
      })
      .finally(() => {
        flush()
        if (controller.signal.aborted)
          return
        running.delete(message.id)
        message.stage = null
        message.isLost = false
        onEnd(message)
      })
  }

  function leave(id: string): void {
    running.get(id)?.abort()
    running.delete(id)
  }

  onScopeDispose(() => running.forEach(controller => controller.abort()))

  return { join, leave }
}

function apply(message: ChatMessage, event: AnswerEvent, ofModel: ReturnType<typeof useModelWords>): void {
  switch (event.event) {
    case 'status':
      message.stage = { name: event.data.stage, count: event.data.count ?? 0 }
      break
    case 'sources':
      message.sources = event.data.hits
      break
    case 'replace':
      message.text = event.data.text
      break
    case 'finished':
      message.state = 'done'
      message.outcome = event.data.outcome ?? null
      message.checks = event.data.checks ?? []
      message.nearest = event.data.nearest ?? []
      message.followUps = event.data.follow_ups ?? []
      break
    case 'failed':
      message.state = 'failed'
      message.problem = ofModel(event.data.error.code, event.data.error.message)
      break
    case 'cut':
      message.state = 'cut'
      break
  }
}
