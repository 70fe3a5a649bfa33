import { createHash } from 'node:crypto';

import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { build, type Plugin, type Rollup } from 'vite';
import { defineConfig } from 'vitest/config';

const daemon = process.env.DESKBELL_DEV ?? 'http://127.0.0.1:8080';

/**
 * The service worker: one file without imports, since not every browser takes a worker that is a module, at an address that
 * never changes. What it is made of is named in it, so that each change is a new version.
 */
function serviceWorker(): Plugin {
  const make = async (): Promise<string> => {
    const made = (await build({
      root: import.meta.dirname,
      configFile: false,
      publicDir: false,
      logLevel: 'error',
      build: { write: false, target: 'es2022', rollupOptions: { input: 'src/lib/push/sw.ts', output: { format: 'iife' } } },
    })) as Rollup.RollupOutput;
    const { code } = made.output[0];
    return code.replace('__WORKER_VERSION__', createHash('sha256').update(code).digest('hex').slice(0, 12));
  };
  return {
    name: 'deskbell-service-worker',
    configureServer(server) {
      server.middlewares.use('/sw.js', (_, answer, next) => {
        make().then((code) => answer.setHeader('content-type', 'text/javascript').setHeader('cache-control', 'no-cache').end(code), next);
      });
    },
    async generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: await make() });
    },
  };
}

export default defineConfig({
  plugins: [svelte(), tailwindcss(), serviceWorker()],
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
  // A test reads what the daemon says from its sources.
  server: { fs: process.env.VITEST ? { allow: ['..'] } : {}, proxy: Object.fromEntries(['/api', '/chat', '/try', '/assets', '/setup', '/docs', '/openapi.json', '/auth'].map((path) => [path, daemon])) },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : undefined,
  test: { environment: 'jsdom', include: ['src/**/*.test.ts'], setupFiles: ['src/lib/i18n/testing.ts'] },
});
