import type { Ref } from 'vue'
import { nextTick, onScopeDispose, ref, watch } from 'vue'

const NEAR = 60

/** A list that stays at its end while it grows, until somebody scrolls up; and that stays in place when it grows at its top. */
export function useStickyScroll(box: Ref<HTMLElement | undefined>, content: Ref<HTMLElement | undefined>, onTop: () => void) {
  const isAtEnd = ref(true)
  let height = 0

  function toEnd(smooth = false): void {
    isAtEnd.value = true
    const place = box.value
    place?.scrollTo({ top: place.scrollHeight, behavior: smooth ? 'smooth' : 'instant' })
  }

  function onScroll(): void {
    const place = box.value
    if (!place)
      return
    // A box that shrinks (the keyboard) or a list that grows scrolls nobody away.
    if (place.scrollHeight === height)
      isAtEnd.value = place.scrollHeight - place.scrollTop - place.clientHeight < NEAR
    height = place.scrollHeight
    if (place.scrollTop < 240)
      onTop()
  }

  /** Do something that adds at the top; what is seen stays where it is. */
  async function keep(grow: () => Promise<void>): Promise<void> {
    const place = box.value
    const fromEnd = place ? place.scrollHeight - place.scrollTop : 0
    await grow()
    await nextTick()
    if (place)
      place.scrollTop = place.scrollHeight - fromEnd
  }

  const follow = () => isAtEnd.value && toEnd()
  const observer = 'ResizeObserver' in window ? new ResizeObserver(follow) : null
  watch([box, content], () => {
    observer?.disconnect()
    for (const element of [box.value, content.value])
      element && observer?.observe(element)
  }, { flush: 'post', immediate: true })
  onScopeDispose(() => observer?.disconnect())

  return { isAtEnd, toEnd, keep, onScroll }
}
