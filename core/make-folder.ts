import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { codeOf } from './system-error.ts';

/**
 * Makes a folder, and those above it where they are missing. Resolves with the highest one that was made, or with
 * undefined when all were there. Rejects with an Error that names the place that is in the way.
 *
 * Node's own `recursive` goes round for ever where a system says of a folder that can never be made that something above
 * it is missing, as Linux does in /proc.
 */
export async function makeFolder(path: string, mode = 0o777): Promise<string | undefined> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await isFolder(at)); at = dirname(at)) missing.push(at);
  for (const folder of missing.toReversed()) await makeOne(folder, mode);
  return missing.at(-1);
}

async function makeOne(folder: string, mode: number): Promise<void> {
  try {
    await mkdir(folder, { mode });
  } catch (error) {
    // Another process may have made it at the same moment.
    if (codeOf(error) !== 'EEXIST' || !(await isFolder(folder))) throw error;
  }
}

/** Whether a folder is there. Rejects when something else is, and when nobody can tell. */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
  throw new Error(`${path} is not a folder`);
}
