import { fchownSync, fstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Gives a new, open file to the owner of its folder when root made it: root may be there once only, and Loam's own user
 * must be able to read and write what is left. Does nothing for any other user. Never throws: where it is refused, as on a
 * share that takes root for nobody, the file stays whose it is.
 */
export function giveToFoldersOwner(path: string, file: number): void {
  if (process.geteuid?.() !== 0) return;
  try {
    const { uid, gid } = statSync(dirname(path));
    const made = fstatSync(file);
    if (made.uid !== uid || made.gid !== gid) fchownSync(file, uid, gid);
  } catch {
    // Whoever cannot use the file then is told so.
  }
}
