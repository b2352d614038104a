import type { RouteRecordRaw } from 'vue-router'

const meta = { role: 'manager', area: 'manage' } as const

/** For editors: other routes of the same page, loaded when somebody goes there. */
export const manageRoutes: RouteRecordRaw[] = [
  { path: '/manage', name: 'manage', component: () => import('./ManagePage.vue'), meta },
  { path: '/manage/:base/:tab(documents|test|questions|about)?', name: 'manage-base', component: () => import('./BasePage.vue'), props: true, meta },
  { path: '/manage/:rest(.*)*', redirect: { name: 'manage' } },
]
