/// <reference types="vite/client" />

declare module 'vue-router' {
  interface RouteMeta {
    /** Shown to people who have not come in. */
    public?: boolean
    /** For whom a page is; nothing said means everybody who has come in. */
    role?: 'manager'
    /** Words that only this part of the page needs: src/i18n/<language>/<area>.ts. */
    area?: string
  }
}

export {}
