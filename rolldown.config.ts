import type { Plugin, RolldownOptions } from 'rolldown';
import { clock } from './core/clock.ts';

/** What is started as a program or as a thread: nobody imports it. */
const ENTRIES = [
  'cli/main',
  'backbone/duckdb/main',
  'backbone/duckdb/examine-main',
  'backbone/registry/yaml/thread',
  'backbone/take-over/child',
  'simulators/load/thread',
  'workers/decoding/thread',
];

/** `built.json` says when it was built: no right clock is before that. */
const stamp: Plugin = {
  name: 'stamp',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'built.json', source: `${JSON.stringify({ at: clock.now() })}\n` });
  },
};

/**
 * Loam's server side as plain JavaScript in `dist/`, a file for each of ours at the same place, so that a line in a stack trace is found without
 * its source map. What is in `node_modules` stays there.
 */
export default {
  input: Object.fromEntries(ENTRIES.map((entry) => [entry, `${entry}.ts`])),
  platform: 'node',
  external: /^[^./]/,
  plugins: [stamp],
  output: {
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    preserveModules: true,
    preserveModulesRoot: import.meta.dirname,
    entryFileNames: '[name].js',
    cleanDir: true,
  },
} satisfies RolldownOptions;
