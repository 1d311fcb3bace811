import { Disks } from '../backbone/files/disk.ts';
import { unknownVariables } from '../core/config.ts';
import { createLogger } from '../core/logger.ts';
import type { RoleName } from '../roles/context.ts';
import { runUntilSignal } from '../roles/run.ts';
import { type Options, settingsOf } from './options.ts';

/** `loam up`, `broker`, `worker` and `gateway`: runs until it is told to stop. Rejects with ConfigInvalid. */
export async function runRole(name: RoleName | 'up', options: Options): Promise<void> {
  // Also in a folder that everybody may look into, and with files that libraries make: what is kept is nobody else's to read.
  process.umask(0o077);
  const config = settingsOf(options);
  const log = createLogger(config.logLevel);
  for (const variable of unknownVariables()) log.warn(`${variable} is set but is no setting of Loam: misspelt?`);
  const disks = new Disks({ log, reserve: config.diskReserve });
  await runUntilSignal({ name, config, log, disks }, async (lifecycle, running) => {
    // Only `loam up` has the demo sensors.
    if (name === 'up') await (await import('../roles/up.ts')).startUp(lifecycle, running);
    else await (await import('../roles/roles.ts')).startRole(name, lifecycle, running);
  });
}
