import type { Config } from '../core/config.ts';
import { demoFarm } from '../simulators/demo-farm.ts';
import { putUser } from '../telemetry/registry-edit.ts';
import { createRegistry, demoSecretsPath, readIfThere, writeCredentials } from './data-folder.ts';

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
users: []
`;

/**
 * Writes a registry when there is none: the demo farm, or with the demo off an empty farm; either with one admin who has
 * no password yet. Resolves true when it wrote one.
 */
export async function ensureRegistry(config: Config): Promise<boolean> {
  if ((await readIfThere(config.registry)) !== undefined) return false;
  const admin = { name: 'admin', farms: { '*': 'admin' } } as const;
  if (!config.demo) {
    const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    await createRegistry(config, putUser(EMPTY.replace('TIMEZONE', timezone), admin));
    return true;
  }
  const { registryYaml, credentials } = demoFarm(Date.now());
  // The secrets first: a registry without them would be a demo that can never sign in.
  await writeCredentials(demoSecretsPath(config), credentials);
  await createRegistry(config, putUser(registryYaml, admin));
  return true;
}
