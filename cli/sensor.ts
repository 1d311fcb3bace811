import { editRegistryFile } from '../backbone/registry/file.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { hashSecret, newSecret } from '../core/secrets.ts';
import { openRegistry } from '../roles/ports.ts';
import { parseRegistry } from '../telemetry/registry.ts';
import { addSensor, removeSensor } from '../telemetry/registry-edit.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import { type Options, onlyFarm, positive, settingsOf, text } from './options.ts';

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
  const sensors = registry.current().sensors;
  if (sensors.length === 0) process.stdout.write('No sensor is registered: loam sensor add --help\n');
  for (const s of sensors) process.stdout.write(`${[s.id, s.farm, s.field, s.role, s.name ?? ''].join('\t')}\n`);
}

/** `loam sensor remove`: takes a sensor out of the registry. What it measured stays in the store. */
export async function removeSensorCommand(id: string, options: Options): Promise<void> {
  const given = text(options, 'farm');
  await edit(settingsOf(options), (registry) => {
    const having = parseRegistry(registry)
      .sensorsWithId(id)
      .map(({ farm }) => farm);
    return removeSensor(registry, given ?? onlyFarm(id, having), id);
  });
  process.stdout.write(`Sensor ${id} is removed and can no longer connect. Its readings stay.\n`);
}

/** Edits the registry's file. Rejects with ConfigInvalid, which names the file, or with the one that `change` throws. */
export async function edit(config: Config, change: (registry: string) => string): Promise<void> {
  try {
    await editRegistryFile(config.registry, change);
  } catch (cause) {
    if (cause instanceof ConfigInvalid) throw cause;
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${config.registry}: ${explain(cause)}`, { cause });
  }
}
