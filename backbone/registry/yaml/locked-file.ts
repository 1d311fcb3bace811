import { realpath } from 'node:fs/promises';
import { RegistryInvalid, RegistryUnavailable } from '../../../core/errors.ts';
import { lockForEdit } from '../../files/edit-lock.ts';

const LOCK_WAIT_MS = 5_000;

/** The file that a registry's path leads to. Rejects with RegistryInvalid. */
export async function realFile(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

/** Takes the right to edit a file; resolves with the function that gives it back. Rejects with RegistryUnavailable. */
export async function takeLock(file: string): Promise<() => void> {
  let release: (() => void) | undefined;
  try {
    release = await lockForEdit(file, LOCK_WAIT_MS);
  } catch (cause) {
    throw new RegistryUnavailable('the registry cannot be edited', { cause });
  }
  if (release === undefined) throw new RegistryUnavailable('the registry is being edited by another process');
  return release;
}
