import type { RegistryFile } from '../backbone/registry/file.ts';
import type { Config } from '../core/config.ts';
import { silent } from '../core/logger.ts';
import { readRegistryOnce } from '../roles/ports.ts';

/**
 * The registry that is in force. When that is not what its file says now, the reason goes to standard error. Rejects
 * with ConfigInvalid when there is none.
 */
export async function registryInForce(config: Config): Promise<RegistryFile> {
  const registry = await readRegistryOnce(config, silent);
  const { why } = registry.health();
  if (why !== undefined) process.stderr.write(`loam: ${why}\n`);
  return registry;
}
