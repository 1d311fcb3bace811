import { z } from 'zod';
import { editRegistryFile } from '../backbone/registry/file.ts';
import type { Config } from '../core/config.ts';
import { ApiRefused, ConfigInvalid, explain } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { hashSecret, newSecret } from '../core/secrets.ts';
import { openRegistry } from '../roles/ports.ts';
import { addSensor, removeSensor } from '../telemetry/registry-edit.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import { Api } from './api.ts';
import { type Options, positive, settingsOf, text } from './options.ts';

/**
 * `loam sensor add`: registers a sensor and prints its secret, which is not kept, and a line that publishes a reading.
 */
export async function addSensorCommand(id: string, options: Options): Promise<void> {
  const config = settingsOf(options);
  const secret = newSecret();
  const farm = text(options, 'farm') ?? '';
  const field = text(options, 'field');
  const name = text(options, 'name');
  const interval = text(options, 'interval');
  await refuseBroughtElsewhere(config, farm, id);
  await edit(config, (registry) =>
    addSensor(registry, {
      id,
      farm,
      secret: hashSecret(secret),
      ...(field === undefined ? {} : { field }),
      ...(name === undefined ? {} : { name }),
      ...(interval === undefined ? {} : { interval: positive('--interval', interval) }),
      ...(options.bridge === true ? { role: 'bridge' } : {}),
    }),
  );
  process.stdout.write(`Sensor ${id} is registered. Its secret is shown this once:

  username  ${id}
  password  ${secret}
  topic     ${telemetryTopic(farm, id)}

Try it:
  mosquitto_pub -h ${config.mqttHost} -p ${config.mqttPort} -i ${id} -u ${id} -P ${secret} -q 1 \\
    -t ${telemetryTopic(farm, id)} -m '{"soil_moisture": 31.2}'
`);
}

/** `loam sensor list`: one line a sensor. */
export async function listSensors(options: Options): Promise<void> {
  const registry = await openRegistry(settingsOf(options), silent);
  registry.close();
  const sensors = [...registry.current().sensors.values()];
  if (sensors.length === 0) process.stdout.write('No sensor is registered: loam sensor add --help\n');
  for (const s of sensors) process.stdout.write(`${[s.id, s.farm, s.field, s.role, s.name ?? ''].join('\t')}\n`);
}

/** `loam sensor remove`: takes a sensor out of the registry. What it measured stays in the store. */
export async function removeSensorCommand(id: string, options: Options): Promise<void> {
  await edit(settingsOf(options), (registry) => removeSensor(registry, id));
  process.stdout.write(`Sensor ${id} is removed and can no longer connect. Its readings stay.\n`);
}

const farms = z.object({ farms: z.array(z.object({ id: z.string() })) });
const sensors = z.object({ sensors: z.array(z.object({ id: z.string() })) });
/** How long to wait for a running Loam. If it does not answer, the sensor is added all the same. */
const ASKED_MS = 10_000;

/**
 * Rejects with ConfigInvalid when the running Loam knows the id in another farm: if it were registered here, the
 * readings that the other farm's bridge brings would be refused. When no Loam runs, or it refuses this command, this
 * cannot be checked.
 */
async function refuseBroughtElsewhere(config: Config, farm: string, id: string): Promise<void> {
  const signal = AbortSignal.timeout(ASKED_MS);
  let elsewhere: { readonly id: string } | undefined;
  try {
    const api = await Api.open(config);
    for (const other of (await api.call('/api/farms', farms, { signal })).farms) {
      if (other.id === farm) continue;
      const there = await api.call(`/api/farms/${encodeURIComponent(other.id)}/sensors`, sensors, { signal });
      if (there.sensors.some((sensor) => sensor.id === id)) elsewhere ??= other;
    }
  } catch (error) {
    if (!(error instanceof ConfigInvalid || error instanceof ApiRefused || signal.aborted)) throw error;
    if (!(error instanceof ConfigInvalid)) {
      process.stderr.write(`loam: whether another farm brings ${id} could not be told: ${explain(error)}\n`);
    }
  }
  if (elsewhere === undefined) return;
  throw new ConfigInvalid(
    '<id>',
    `<id>: farm "${elsewhere.id}" has or brings a sensor "${id}" already; an id belongs to one farm`,
  );
}

/** Edits the registry's file. Rejects with ConfigInvalid, which names the file. */
export async function edit(config: Config, change: (registry: string) => string): Promise<void> {
  try {
    await editRegistryFile(config.registry, change);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${config.registry}: ${explain(cause)}`, { cause });
  }
}
