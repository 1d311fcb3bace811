import { defineConfig } from 'vite';
import { compressed } from './vite-compress.ts';

export default defineConfig({
  root: import.meta.dirname,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [compressed()],
  build: {
    outDir: '../dist/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    // The gateway's Content-Security-Policy allows neither data: addresses nor inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // What several views have in common, as one file and not as one for each set of views: each waits for the line.
        codeSplitting: {
          groups: [
            { name: 'shared', minShareCount: 3, test: /\/dashboard\/(?:api|format|plan|state|views\/common)\// },
          ],
        },
      },
    },
  },
});
