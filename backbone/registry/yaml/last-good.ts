import { readFile, realpath, rm } from 'node:fs/promises';
import { replaceFile } from '../../../core/replace-file.ts';
import { autoPath, type RegistryTexts } from './text.ts';

/** Where the last registry that was in force is kept: beside its file, or beside the link to it. */
export function lastGoodPath(path: string): string {
  return `${path}.last-good`;
}

/**
 * Keeps the texts of a registry that is in force, for a start at which the files themselves are broken. A copy is for the
 * same eyes as its file: it gets its owner, group and mode, or, where this process may not give it away, is its own
 * alone. A copy that is as it is to be is not written again. Rejects with the error of the file system.
 */
export async function keepLastGood(path: string, { hand, auto }: RegistryTexts): Promise<void> {
  await keep(path, hand);
  if (auto === undefined) await rm(lastGoodPath(autoPath(path)), { force: true });
  else await keep(autoPath(path), auto);
}

/** The texts that are kept, whatever they are; undefined when there are none that can be read. */
export async function readLastGood(path: string): Promise<RegistryTexts | undefined> {
  const [hand, auto] = await Promise.all([copyOf(path), copyOf(autoPath(path))]);
  return hand === undefined ? undefined : { hand, auto };
}

async function keep(path: string, text: string): Promise<void> {
  if ((await copyOf(path)) === text) return;
  const copy = lastGoodPath(path);
  try {
    await replaceFile(copy, text, await realpath(path));
  } catch {
    await replaceFile(copy, text);
  }
}

async function copyOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(lastGoodPath(path), 'utf8');
  } catch {
    return undefined;
  }
}
