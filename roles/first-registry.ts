import { readdir } from 'node:fs/promises';
import { isEmbedded, openLog, openQueue, openStore, registryFile } from '../backbone/open.ts';
import { LIVE_LOG_LIMITS } from '../backbone/ports/log.ts';
import type { RegistryPort } from '../backbone/ports/registry.ts';
import { lastGoodPath } from '../backbone/registry/yaml/last-good.ts';
import { clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain, RegistryConflict } from '../core/errors.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import { demoFarm } from '../simulators/demo-farm.ts';
import { readThings } from '../telemetry/registry/file.ts';
import { createRegistry, DATA_LOCK, demoSecretsPath, isThere, keptSecrets, writeCredentials } from './data-folder.ts';
import { opened } from './ports.ts';

const EMPTY = `# Loam's registry: farms, fields, sensors, metrics and users. Saved changes are taken up within seconds.
farms:
  - { id: farm, name: My farm, timezone: TIMEZONE }
fields: []   # - { id: north, farm: farm, name: North field, crop: maize }
sensors: []  # made by: loam sensor add probe-1 --farm farm --field north
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 20, max: 45, decimals: 1 }
  - { id: soil_temperature, label: Soil temperature, unit: °C, decimals: 1 }
  - { id: air_temperature, label: Air temperature, unit: °C, decimals: 1 }
  - { id: air_humidity, label: Air humidity, unit: "%", decimals: 0 }
  - { id: battery, label: Battery, unit: V, min: 3.3, decimals: 2 }
`;

const ADMIN = `users:
  - name: admin
    farms:
      "*": admin
`;

/**
 * Writes a registry at the first start: the demo farm, or an empty farm when the demo is off. Both have one admin, who
 * has no password yet. Resolves with true when it wrote one. Rejects with ConfigInvalid when there must have been one
 * before. A registry that is no file is left to `fillRegistry`.
 */
export async function ensureRegistry(config: Config): Promise<boolean> {
  const file = registryFile(config.registry);
  if (file === undefined || (await isThere(file)) || (await isThere(lastGoodPath(file)))) return false;
  await refuseLost(config);
  await createRegistry(file, await firstRegistry(config));
  return true;
}

/** As `ensureRegistry`, for a registry that is kept by a server and has neither a farm nor a user. */
export async function fillRegistry(config: Config, registry: RegistryPort): Promise<boolean> {
  const { farms, users } = registry.current();
  if (registryFile(config.registry) !== undefined || farms.size + users.size > 0) return false;
  await refuseLost(config);
  const { things } = readThings(await firstRegistry(config));
  // Another process may fill it at the same moment: then all of that one's is there, and nothing of this one's.
  const edits = things.map(({ kind, id, thing }) => ({ kind, id, seen: null, value: thing }));
  try {
    await registry.apply(edits, 'first start');
    return true;
  } catch (cause) {
    if (cause instanceof RegistryConflict) return false;
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${explain(cause)}`, { cause });
  }
}

async function firstRegistry(config: Config): Promise<string> {
  if (!config.demo) return emptyRegistry();
  const { registryYaml, credentials } = demoFarm(clock.now());
  // The secrets are written first: with a registry but without the secrets, the demo sensors could never sign in.
  await writeCredentials(demoSecretsPath(config), credentials);
  return `${registryYaml}${ADMIN}`;
}

/**
 * Call this when there is no registry. Rejects with ConfigInvalid when there must have been one before: a new registry
 * would lock out everybody who was in the old one.
 */
export async function refuseLost(config: Config): Promise<void> {
  const why = await evidenceOfEarlierRun(config);
  if (why === undefined) return;
  throw new ConfigInvalid(
    'LOAM_REGISTRY',
    `LOAM_REGISTRY: ${withoutSecrets(config.registry)} is not there, but ${why}: mount or restore it, or make a new, empty one with \`loam init\``,
  );
}

export function emptyRegistry(): string {
  const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${EMPTY.replace('TIMEZONE', timezone)}${ADMIN}`;
}

/** Why this cannot be the first start, as words for a message; undefined when it can be. */
async function evidenceOfEarlierRun({ data, queue, log, store }: Config): Promise<string | undefined> {
  for (const path of keptSecrets(data)) if (await isThere(path)) return `${path} is of an earlier run`;
  const ports: readonly [setting: string, url: string, open: () => Promise<{ close(): Promise<void> }>][] = [
    ['LOAM_QUEUE', queue, () => openQueue(queue)],
    ['LOAM_LOG', log, () => openLog(log, 'live', LIVE_LOG_LIMITS)],
    ['LOAM_STORE', store, () => openStore(store)],
  ];
  for (const [setting, url, open] of ports) {
    if (isEmbedded(url)) {
      const path = url.slice(url.indexOf(':') + 1);
      if (await holdsSomething(path)) return `${path} is of an earlier run`;
      continue;
    }
    // A server that cannot be reached is more likely a wrong setting: then `opened` rejects and says so.
    await (await opened(setting, url, open)).close();
    return `${setting} names a server, as an installation does that has run before`;
  }
  return undefined;
}

/** Whether `path` is a file, or a folder with more in it than the lock that this start has made. */
async function holdsSomething(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).some((name) => name !== DATA_LOCK);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT') return false;
    if (code === 'ENOTDIR') return true;
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: cannot look into ${path}: ${explain(cause)}`, { cause });
  }
}
