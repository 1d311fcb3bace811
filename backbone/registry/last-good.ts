import { readFile, realpath } from 'node:fs/promises';
import { replaceFile } from '../../core/replace-file.ts';
import type { Registry } from '../../telemetry/registry.ts';
import { readRegistry } from './text.ts';

/** Where the last registry that was in force is kept: beside its file, or beside the link to it. */
export function lastGoodPath(path: string): string {
  return `${path}.last-good`;
}

/**
 * Keeps the text of a registry that is in force, for a start at which the file itself is broken. The copy is for the same
 * eyes as the file: it gets its owner, group and mode, or, where this process may not give it away, is its own alone.
 * Rejects with the error of the file system.
 */
export async function keepLastGood(path: string, text: string): Promise<void> {
  const copy = lastGoodPath(path);
  try {
    await replaceFile(copy, text, await realpath(path));
  } catch {
    await replaceFile(copy, text);
  }
}

/** The text that is kept, whatever it is; undefined when there is none that can be read. */
export async function readLastGood(path: string): Promise<string | undefined> {
  try {
    return await readFile(lastGoodPath(path), 'utf8');
  } catch {
    return undefined;
  }
}

/** The registry that is kept; undefined when there is none, or nothing that is one. */
export async function lastGood(path: string): Promise<{ text: string; registry: Registry } | undefined> {
  const text = await readLastGood(path);
  if (text === undefined) return undefined;
  try {
    return { text, registry: readRegistry(text) };
  } catch {
    return undefined;
  }
}
