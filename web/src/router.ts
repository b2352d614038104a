import type { Router } from 'vue-router'
import { createRouter, createWebHistory } from 'vue-router'
import { ApiError } from './api/errors'
import { closeLayers } from './composables/useLayer'
import { loadArea } from './i18n'
import { manageRoutes } from './pages/manage/routes'
import { keepNext } from './stores/arrival'
import { useSessionStore } from './stores/session'

// After `takeArrival`: the history reads the address when it is made.
export function makeRouter(): Router {
  const router = createRouter({
    history: createWebHistory(import.meta.env.BASE_URL),
    routes: [
      { path: '/', name: 'home', component: () => import('./pages/HomePage.vue') },
      { path: '/chat/:sessionId([0-9A-Za-z]{32})', name: 'chat', component: () => import('./pages/ChatPage.vue'), props: true },
      { path: '/sessions', name: 'sessions', component: () => import('./pages/SessionsPage.vue'), meta: { area: 'sessions' } },
      { path: '/sso', name: 'sso', component: () => import('./pages/EntryPage.vue'), meta: { public: true } },
      { path: '/401', name: 'refused', component: () => import('./pages/EntryPage.vue'), meta: { public: true } },
      ...manageRoutes,
      { path: '/:rest(.*)*', redirect: { name: 'home' } },
    ],
    scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  })

  router.beforeEach(() => closeLayers())
  router.beforeEach(async (to) => {
    if (to.meta.public)
      return true
    const session = useSessionStore()
    const refusal = await session.whenReady().then(() => null, (error: unknown) => error)
    if (!session.isIn) {
      keepNext(router.resolve(to).href)
      return { name: refusal instanceof ApiError ? 'refused' : 'sso' }
    }
    if (to.meta.role && !session.isManager)
      return { name: 'home' }
    return true
  })

  router.beforeResolve(async (to) => {
    if (to.meta.area)
      await loadArea(to.meta.area)
  })

  return router
}
