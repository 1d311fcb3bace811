/**
 * What to start a `Worker` from so that it runs the TypeScript module at `module`, with `execArgv: []`.
 *
 * Node 20 does not give `--import tsx` to a thread's entry, so the entry is a line of JavaScript that brings tsx itself:
 * the same however the main thread came to understand TypeScript.
 */
export function threadEntry(module: URL): URL {
  return new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))};
      register();
      await import(${JSON.stringify(module.href)});`)}`,
  );
}
