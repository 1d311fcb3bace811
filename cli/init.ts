import { registryFile } from '../backbone/open.ts';
import { ConfigInvalid } from '../core/errors.ts';
import { createRegistry, isThere } from '../roles/data-folder.ts';
import { emptyRegistry } from '../roles/first-registry.ts';
import { type Options, settingsOf } from './options.ts';
import { print } from './output.ts';

/**
 * `loam init`: writes the registry of an empty farm, with one admin who has no password yet. Rejects with ConfigInvalid
 * when a registry is there already.
 */
export async function initCommand(options: Options): Promise<void> {
  const config = settingsOf(options);
  const file = registryFile(config.registry);
  if (file === undefined) {
    throw new ConfigInvalid('LOAM_REGISTRY', 'LOAM_REGISTRY: is kept by a server: `loam up` fills it when it is empty');
  }
  if (await isThere(file)) {
    throw new ConfigInvalid(
      'LOAM_REGISTRY',
      `LOAM_REGISTRY: ${file} is there already: a new one would lock everybody out who is in it`,
    );
  }
  await createRegistry(file, emptyRegistry());
  print(
    `${file} is written: a farm without sensors, and admin, who has no password yet (loam up shows a link, loam user add gives one).\n`,
  );
}
