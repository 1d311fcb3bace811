import { editRegistryFile } from '../backbone/registry/edit.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { hashSecret, newSecret } from '../core/secrets.ts';
import { KeptSecretKey } from '../roles/secret-key.ts';
import { isStrongToken, keptToken, TOKEN_REFUSED } from '../telemetry/brought-token.ts';
import { parseRegistry } from '../telemetry/registry.ts';
import { addSensor, removeSensor } from '../telemetry/registry-edit.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import { type Options, onlyFarm, positive, settingsOf, text } from './options.ts';
import { registryInForce } from './registry.ts';

/**
 * `loam sensor add`: registers a sensor and prints its secret, which is not kept, and a line that publishes a reading.
 * With --token the sensor signs in with that, and no secret is made.
 */
export async function addSensorCommand(id: string, { token: given, ...options }: Options): Promise<void> {
  const config = settingsOf(options);
  const token = typeof given === 'string' ? given : undefined;
  const secret = newSecret();
  const key = token === undefined ? '' : await keyFor(config, token);
  const farm = text(options, 'farm') ?? '';
  const field = text(options, 'field');
  const name = text(options, 'name');
  const interval = text(options, 'interval');
  await edit(config, (registry) =>
    addSensor(registry, {
      id,
      farm,
      ...(token === undefined ? { secret: hashSecret(secret) } : { token: keptOf(token, key, registry, { farm, id }) }),
      ...(field === undefined ? {} : { field }),
      ...(name === undefined ? {} : { name }),
      ...(interval === undefined ? {} : { interval: positive('--interval', interval) }),
      ...(options.bridge === true ? { role: 'bridge' } : {}),
    }),
  );
  const says = token === undefined ? 'Its secret is shown this once:' : 'It signs in with its token:';
  // A token may have characters that mean something in a shell.
  const password = token === undefined ? secret : 'TOKEN';
  process.stdout.write(`Sensor ${id} is registered. ${says}

  username  ${id}
  password  ${password}
  topic     ${telemetryTopic(farm, id)}

Try it:
  mosquitto_pub -h ${config.mqttHost} -p ${config.mqttPort} -i ${id} -u ${id} -P ${password} -q 1 \\
    -t ${telemetryTopic(farm, id)} -m '{"soil_moisture": 31.2}'
`);
}

/** LOAM_SECRET_KEY, which is made when there is none. Rejects with ConfigInvalid, also for a weak token. */
async function keyFor(config: Config, token: string): Promise<string> {
  if (!isStrongToken(token)) throw refusedToken();
  const registry = await registryInForce(config);
  return (await KeptSecretKey.open(config, registry, silent)).make();
}

/** What the registry keeps of a token. Throws ConfigInvalid for one that is weak or taken. */
function keptOf(token: string, key: string, registry: string, owner: { farm: string; id: string }): string {
  const kept = keptToken(parseRegistry(registry), token, key, owner);
  if (kept === undefined) throw refusedToken();
  return kept;
}

function refusedToken(): ConfigInvalid {
  return new ConfigInvalid('--token', `--token: ${TOKEN_REFUSED}`);
}

/** `loam sensor list`: one line a sensor. */
export async function listSensors(options: Options): Promise<void> {
  const registry = await registryInForce(settingsOf(options));
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
