import { fileURLToPath } from 'node:url';

/**
 * What to start a `Worker` from so that it runs the TypeScript module at `module`, with `execArgv: []`.
 *
 * In `dist/` that is the JavaScript beside it. Tests and benchmarks run the TypeScript itself, and Node 20 does not
 * apply `--import` to a thread's entry. So the entry is a line of JavaScript that registers the loader itself.
 */
export function threadEntry(module: URL): URL {
  if (import.meta.url.endsWith('.js')) return new URL(module.href.replace(/\.ts$/, '.js'));
  return new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))};
      register();
      await import(${JSON.stringify(module.href)});`)}`,
  );
}

/** What to start Node with so that it runs the TypeScript module at `module` as a program: its options, and the file. */
export function programEntry(module: URL): readonly string[] {
  if (import.meta.url.endsWith('.js')) return [fileURLToPath(module).replace(/\.ts$/, '.js')];
  return ['--import', import.meta.resolve('tsx/esm'), fileURLToPath(module)];
}
