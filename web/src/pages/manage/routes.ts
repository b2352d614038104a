import type { RouteRecordRaw } from 'vue-router'

/** For editors: other routes of the same page, loaded when somebody goes there. */
export const manageRoutes: RouteRecordRaw[] = [
  {
    path: '/manage/:rest(.*)*',
    name: 'manage',
    component: () => import('./ManagePage.vue'),
    meta: { role: 'manager', area: 'manage' },
  },
]
