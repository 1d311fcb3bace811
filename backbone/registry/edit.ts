import { realpath } from 'node:fs/promises';
import { RegistryInvalid } from '../../core/errors.ts';
import { replaceFile } from '../../core/replace-file.ts';
import { lockForEdit } from '../files/edit-lock.ts';
import { keepLastGood } from './last-good.ts';
import { readRegistry, readRegistryText } from './text.ts';

const LOCK_WAIT_MS = 5_000;

/**
 * Replaces the file's text by `change(text)` in one step, so that no reader sees half of it, and under a lock against a
 * second editor. If `path` is a link, the file that it leads to is replaced. Rejects with RegistryInvalid when the file
 * or the result is not a registry, or the file cannot be replaced; the file is unchanged then.
 */
export async function editRegistryFile(path: string, change: (text: string) => string): Promise<void> {
  const file = await realFile(path);
  const release = await takeLock(file);
  try {
    const before = await readRegistryText(file);
    // Refuses a file that was emptied by mistake: the edit alone would become the whole registry.
    readRegistry(before);
    const text = change(before);
    readRegistry(text);
    await replaceRegistry(file, text);
    // Also while Loam does not run. Where it cannot be kept, a running Loam says so.
    await keepLastGood(path, text).catch(() => {});
  } finally {
    release();
  }
}

async function realFile(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

async function takeLock(file: string): Promise<() => void> {
  let release: (() => void) | undefined;
  try {
    release = await lockForEdit(file, LOCK_WAIT_MS);
  } catch (cause) {
    throw new RegistryInvalid('cannot be edited', { cause });
  }
  if (release === undefined) throw new RegistryInvalid('is being edited by another process');
  return release;
}

async function replaceRegistry(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text);
  } catch (cause) {
    throw new RegistryInvalid('cannot be edited', { cause });
  }
}
