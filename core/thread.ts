import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * What to start a `Worker` from so that it runs the TypeScript module at `module`, with `execArgv: []`.
 *
 * In `dist/` that is the JavaScript beside it. Tests and benchmarks run the TypeScript itself, and Node 20 does not
 * apply `--import` to a thread's entry. So the entry is a line of JavaScript that registers the loader itself. It awaits
 * nothing: V8 (of Node 20) aborts the whole process when a thread is ended while a module of it waits to be loaded.
 */
export function threadEntry(module: URL): URL {
  const built = builtOf(module);
  if (built !== undefined) return built;
  return new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))};
      register();
      import(${JSON.stringify(module.href)});`)}`,
  );
}

/** What to start Node with so that it runs the TypeScript module at `module` as a program: its options, and the file. */
export function programEntry(module: URL): readonly string[] {
  const built = builtOf(module);
  if (built !== undefined) return [fileURLToPath(built)];
  return ['--import', import.meta.resolve('tsx/esm'), fileURLToPath(module)];
}

/**
 * The JavaScript of a module; undefined when TypeScript is run and nobody says that `dist/` is of the same text. The run of
 * all tests says so (`test/services/typescript.js`), which has just built it: it starts hundreds of these, and the loader
 * costs each half a second.
 */
function builtOf(module: URL): URL | undefined {
  if (import.meta.url.endsWith('.js')) return new URL(module.href.replace(/\.ts$/, '.js'));
  if (!('loamIsBuilt' in globalThis)) return undefined;
  const root = new URL('..', import.meta.url).href;
  const built = new URL(`${root}dist/${module.href.slice(root.length).replace(/\.ts$/, '.js')}`);
  // What tests start of their own is not in it.
  return existsSync(built) ? built : undefined;
}
