import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

const daemon = process.env.DESKBELL_DEV ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte(), tailwindcss()],
  build: {
    outDir: process.env.DESKBELL_UI_OUT ?? 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsDir: 'ui',
    // Nothing inline: the policy of the page allows files of its own origin only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev` beside a running daemon, which DESKBELL_DEV names.
  server: { proxy: Object.fromEntries(['/api', '/chat', '/try', '/assets', '/setup', '/docs', '/openapi.json', '/auth'].map((path) => [path, daemon])) },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : undefined,
  test: { environment: 'jsdom', include: ['src/**/*.test.ts'] },
});
