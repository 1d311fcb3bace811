import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { PACKAGE_ROOT } from './package-root.ts';

/** The system has these while its clock is synchronised, or was since it was started: made by systemd-timesyncd, and by ntpsec. */
const SYNCHRONISED = ['/run/systemd/timesync/synchronized', '/run/ntpsec/synchronized'];
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const ASK_MS = 5_000;
/** Where the kernel does not say it: of this process only. */
const OWN = randomUUID();

/** Names the time since this machine was started: in it the wall clock and `clock.sinceBoot` can be compared, also over restarts of the process. */
export function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim().slice(0, 64) || OWN;
  } catch {
    return OWN;
  }
}

/** When this Loam was built, Unix ms: no right clock is before it. From sources that were never built, when they were put here. */
export function builtAt(): number {
  try {
    const { at }: { at?: unknown } = JSON.parse(readFileSync(new URL('dist/built.json', PACKAGE_ROOT), 'utf8'));
    if (typeof at === 'number' && Number.isFinite(at)) return at;
  } catch {
    // It was not built: the next best is asked.
  }
  // npm gives the files of a package a time in 1985: no harm, it only shows fewer wrong clocks.
  return statSync(new URL('package.json', PACKAGE_ROOT)).mtimeMs;
}

/**
 * Whether the system says that a time server has set its clock; false where it does not say. systemd's own file is looked at first, and then
 * `timedatectl` is asked, which knows what the kernel knows, whoever synchronises it (chrony, ntpd). Never rejects; takes five seconds at most.
 */
export async function isSynchronised(): Promise<boolean> {
  for (const path of SYNCHRONISED) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return true;
  }
  return new Promise((resolve) => {
    const words = ['show', '--property=NTPSynchronized', '--value'];
    execFile('timedatectl', words, { timeout: ASK_MS }, (error, output) =>
      resolve(error === null && output.trim() === 'yes'),
    );
  });
}
