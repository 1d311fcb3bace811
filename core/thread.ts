/**
 * What to start a `Worker` from so that it runs the TypeScript module at `module`, with `execArgv: []`.
 *
 * Node 20 does not give `--import` to a thread's entry, so the entry is a line of JavaScript that brings TypeScript itself:
 * the same however the main thread came to understand it.
 */
export function threadEntry(module: URL): URL {
  return new URL(
    `data:text/javascript,${encodeURIComponent(`
      await import(${JSON.stringify(import.meta.resolve('./typescript.js'))});
      await import(${JSON.stringify(module.href)});`)}`,
  );
}
