import type { RegistryPort } from '../backbone/ports/registry.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain, RegistryConflict } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import { openRegistryOf } from '../roles/ports.ts';
import type { Edit, Registry } from '../telemetry/registry/registry.ts';
import { versionOf } from '../telemetry/registry/things.ts';
import { printError } from './output.ts';

/** In whose name commands edit the registry. */
export const WHO = 'command line';
/** Somebody else may change the same thing at the same time, and again. */
const MOST_TRIES = 5;

/** Does `work` with the registry, and closes it. Rejects with ConfigInvalid when there is none. */
export async function withRegistry<T>(config: Config, work: (registry: RegistryPort) => Promise<T>): Promise<T> {
  const registry = await openRegistryOf(config, silent, true);
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}

/** As `withRegistry`, for a look. When what is in force is not what its file says now, the reason goes to standard error. */
export async function lookIntoRegistry<T>(config: Config, work: (registry: Registry) => T): Promise<T> {
  return await withRegistry(config, async (registry) => {
    for (const { why } of registry.health()) if (why !== undefined) printError(`loam: ${why}\n`);
    return work(registry.current());
  });
}

/**
 * Edits the registry. `make` says what is to change, by the registry as it is now; it is called again when somebody else
 * was quicker. Rejects with ConfigInvalid, which names the registry, or with the one that `make` throws.
 */
export async function editRegistry(config: Config, make: (current: Registry) => readonly Edit[]): Promise<void> {
  await withRegistry(config, async (registry) => {
    for (let attempt = 1; ; attempt++) {
      try {
        const current = registry.current();
        const edits = make(current).map((edit) => ({ seen: versionIn(current, edit), ...edit }));
        await registry.apply(edits, WHO);
        return;
      } catch (cause) {
        if (cause instanceof RegistryConflict && attempt < MOST_TRIES) continue;
        throw refusedBy(config, cause);
      }
    }
  });
}

/** The error for what the registry refused, with the registry's name. `before` says what else is to be known. */
export function refusedBy(config: Config, cause: unknown, before = ''): ConfigInvalid {
  if (cause instanceof ConfigInvalid) return cause;
  const name = withoutSecrets(config.registry);
  return new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${name}: ${before}${explain(cause)}`, { cause });
}

/** The version of the thing that an edit names; null when it is not there. */
export function versionIn(current: Registry, { kind, id }: Edit): string | null {
  const thing = current.get(kind, id);
  return thing === undefined ? null : versionOf(kind, id, thing);
}
