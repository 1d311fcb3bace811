import { resolve, sep } from 'node:path';
import { isEmbedded, registryFile } from '../backbone/open.ts';
import type { Config } from '../core/config.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import { pathOf } from './room-to-start.ts';

/** Says where an installation has what it keeps: in the data folder, or what is elsewhere, without passwords. */
export function whereKept({ data, registry, queue, log, store }: Config): string {
  const folder = resolve(data) + sep;
  const file = (url: string) => (isEmbedded(url) ? pathOf(url) : undefined);
  const places: readonly (readonly [what: string, url: string, path: string | undefined])[] = [
    ['the registry', registry, registryFile(registry)],
    ['the queue', queue, file(queue)],
    ['the logs', log, file(log)],
    ['the store', store, file(store)],
  ];
  const elsewhere = places.filter(([, , path]) => path === undefined || !resolve(path).startsWith(folder));
  if (elsewhere.length === 0) return `Everything is kept in ${data}.`;
  const named = elsewhere.map(([what, url, path]) => `${what} in ${path ?? withoutSecrets(url)}`).join(', ');
  return `Everything is kept in ${data}, but for ${named}.`;
}
