import { shallowRef } from 'vue'

export interface Toast {
  text: string
  kind: 'plain' | 'bad'
  /** Something to do about it, say undo. */
  action?: { label: string, run: () => void }
}

const toast = shallowRef<Toast | null>(null)
let timer: ReturnType<typeof setTimeout> | undefined

function show(next: Toast, milliseconds: number): void {
  clearTimeout(timer)
  toast.value = next
  timer = setTimeout(hide, milliseconds)
}

function hide(): void {
  toast.value = null
}

/** A short word at the lower edge; screen readers hear it. */
export function useToast() {
  return {
    toast,
    hide,
    say: (text: string, milliseconds = 2200) => show({ text, kind: 'plain' }, milliseconds),
    complain: (text: string) => show({ text, kind: 'bad' }, 4000),
    offer: (text: string, label: string, run: () => void, milliseconds = 5000) => show({ text, kind: 'plain', action: { label, run } }, milliseconds),
  }
}
