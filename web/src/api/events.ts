import type { Check, Outcome, Place, Source } from './answers'

export type Stage = 'searching' | 'reading' | 'writing' | 'using_tool'

export interface EventData {
  started: { message_id: string, query: string, session_id: string }
  status: { stage: Stage, count?: number | null }
  sources: { hits: Source[] }
  delta: { text: string }
  replace: { text: string }
  tool: { name: string, title: string, arguments: string, output: string, failed: boolean }
  usage: { prompt_tokens: number, completion_tokens: number }
  finished: { message_id: string, outcome?: Outcome | null, follow_ups?: string[], checks?: Check[], nearest?: Place[] }
  failed: { error: { code: string, message: string, request_id: string } }
  cut: { message_id: string }
}

/** One event of an answer; unknown ones never get here. */
export type AnswerEvent = { [K in keyof EventData]: { event: K, data: EventData[K] } }[keyof EventData]

const NAMES: Record<keyof EventData, true> = {
  started: true,
  status: true,
  sources: true,
  delta: true,
  replace: true,
  tool: true,
  usage: true,
  finished: true,
  failed: true,
  cut: true,
}

export function isAnswerEvent(frame: { event: string, data: unknown }): frame is AnswerEvent {
  return Object.hasOwn(NAMES, frame.event)
}

export function isLast(event: AnswerEvent): boolean {
  return event.event === 'finished' || event.event === 'failed' || event.event === 'cut'
}
