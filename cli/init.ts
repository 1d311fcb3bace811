import { ConfigInvalid } from '../core/errors.ts';
import { createRegistry, isThere } from '../roles/data-folder.ts';
import { emptyRegistry } from '../roles/first-registry.ts';
import { type Options, settingsOf } from './options.ts';

/**
 * `loam init`: writes the registry of an empty farm, with one admin who has no password yet. Rejects with ConfigInvalid
 * when a registry is there already.
 */
export async function initCommand(options: Options): Promise<void> {
  const config = settingsOf(options);
  if (await isThere(config.registry)) {
    throw new ConfigInvalid(
      'LOAM_REGISTRY',
      `LOAM_REGISTRY: ${config.registry} is there already: a new one would lock everybody out who is in it`,
    );
  }
  await createRegistry(config, emptyRegistry());
  process.stdout.write(
    `${config.registry} is written: a farm without sensors, and admin, who has no password yet (loam up shows a link, loam user add gives one).\n`,
  );
}
