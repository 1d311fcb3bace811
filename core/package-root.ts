import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The folder of Loam's `package.json`, with a slash at its end. Files beside the code (the browser app, the ready
 * profiles) are found from there, whether Loam runs as TypeScript or from `dist/`.
 */
export const PACKAGE_ROOT: URL = rootAbove(new URL('./', import.meta.url));

function rootAbove(folder: URL): URL {
  if (existsSync(fileURLToPath(new URL('package.json', folder)))) return folder;
  const above = new URL('../', folder);
  if (above.href === folder.href) throw new Error('Loam was moved away from its package.json');
  return rootAbove(above);
}
