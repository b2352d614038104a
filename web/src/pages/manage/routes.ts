import type { RouteRecordRaw } from 'vue-router'
import { loadArea } from '@/i18n'

const meta = { role: 'manager', area: 'manage' } as const

/** With the words of evaluations and of searches. */
const evaluate = <T>(page: Promise<T>): Promise<T> => Promise.all([page, loadArea('evaluate'), loadArea('search')]).then(([loaded]) => loaded)

/** With the words of files being read, cut and kept. */
const ingest = <T>(page: Promise<T>): Promise<T> => Promise.all([page, loadArea('ingest')]).then(([loaded]) => loaded)

/** For editors: other routes of the same page, loaded when somebody goes there. */
export const manageRoutes: RouteRecordRaw[] = [
  { path: '/manage', name: 'manage', component: () => ingest(import('./ManagePage.vue')), meta },
  { path: '/manage/:base/:tab(documents|test|questions|evaluate|about)?', name: 'manage-base', component: () => ingest(import('./BasePage.vue')), props: true, meta },
  { path: '/manage/:base/jobs', name: 'manage-jobs', component: () => ingest(import('@/jobs/JobsPage.vue')), props: true, meta },
  // By query: names of files end in what a server takes for one of its own.
  { path: '/manage/:base/file', name: 'manage-file', component: () => ingest(import('@/chunks/FilePage.vue')), props: ({ params, query }) => ({ ...params, name: String(query.name ?? ''), tab: String(query.tab ?? '') }), meta },
  { path: '/manage/:base/sets/:set', name: 'evaluate-set', component: () => evaluate(import('@/evaluate/SetPage.vue')), props: true, meta },
  { path: '/manage/:base/runs/:run', name: 'evaluate-run', component: () => evaluate(import('@/evaluate/RunPage.vue')), props: true, meta },
  { path: '/manage/:base/runs/:first/against/:second', name: 'evaluate-compare', component: () => evaluate(import('@/evaluate/ComparePage.vue')), props: true, meta },
  { path: '/manage/:base/retrieval', name: 'manage-retrieval', component: () => Promise.all([import('@/tuning/RetrievalPage.vue'), loadArea('search'), loadArea('tuning')]).then(([page]) => page), props: true, meta },
  { path: '/manage/:rest(.*)*', redirect: { name: 'manage' } },
]
