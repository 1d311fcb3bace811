import { ConfigInvalid, RegistryInvalid } from '../core/errors.ts';
import type { SecretKeys } from '../core/secret-key.ts';
import { hashSecret, newSecret } from '../core/secrets.ts';
import { isStrongToken, keptToken, TOKEN_REFUSED } from '../telemetry/brought-token.ts';
import type { Registry } from '../telemetry/registry/registry.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import { askSecret } from './ask-secret.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printRow } from './output.ts';
import { editRegistry, lookIntoRegistry } from './registry.ts';
import { keysOf } from './secrets.ts';
import { valuesIn } from './thing-keys.ts';
import { changeThing } from './things.ts';

/**
 * `loam sensor add`: registers a sensor and prints its secret, which is not kept, and a line that publishes a reading.
 * With --token or --secret-stdin the sensor signs in with what it came with, and no secret is made.
 */
export async function addSensorCommand(id: string, { token: given, ...options }: Options): Promise<void> {
  const config = settingsOf(options);
  const token = await broughtToken(id, given, options);
  const secret = newSecret();
  const keys = token === undefined ? undefined : await keysFor(options, token);
  const farm = text(options, 'farm') ?? '';
  const values = valuesIn('sensor', options);
  await editRegistry(config, (current) => {
    if (current.sensor(farm, id)) throw new RegistryInvalid(`farm "${farm}" has a sensor "${id}" already`);
    const value = {
      id,
      farm,
      ...(token === undefined ? { secret: hashSecret(secret) } : { token: keptOf(token, keys, current, { farm, id }) }),
      ...values,
      ...(options.bridge === true ? { role: 'bridge' } : {}),
    };
    return [{ kind: 'sensor', id: `${farm}/${id}`, value }];
  });
  const says = token === undefined ? 'Its secret is shown this once:' : 'It signs in with its token:';
  // A token may have characters that mean something in a shell.
  const password = token === undefined ? secret : 'TOKEN';
  print(`Sensor ${id} is registered. ${says}

  username  ${id}
  password  ${password}
  topic     ${telemetryTopic(farm, id)}

Try it:
  mosquitto_pub -h ${config.mqttHost} -p ${config.mqttPort} -i ${id} -u ${id} -P ${password} -q 1 \\
    -t ${telemetryTopic(farm, id)} -m '{"soil_moisture": 31.2}'
`);
}

/**
 * `loam sensor change`: sets what the options name. With --new-secret it signs in with a new secret, which is printed
 * once; with --token or --secret-stdin with that. A connection that it has ends.
 */
export async function changeSensor(id: string, { token: given, ...options }: Options): Promise<void> {
  const token = await broughtToken(id, given, options);
  const keys = token === undefined ? undefined : await keysFor(options, token);
  const secret = options.newSecret === true ? newSecret() : undefined;
  await changeThing('sensor', id, options, (current, whole) => {
    const owner = { farm: whole.slice(0, whole.indexOf('/')), id };
    return {
      ...(secret === undefined ? {} : { secret: hashSecret(secret) }),
      ...(token === undefined ? {} : { token: keptOf(token, keys, current, owner) }),
    };
  });
  if (secret !== undefined) print(`Its new secret is shown this once: ${secret}\n`);
}

/** The token that a device came with, if it did: from --token, or with --secret-stdin from standard input, where no list of processes shows it. */
async function broughtToken(id: string, given: unknown, { secretStdin }: Options): Promise<string | undefined> {
  if (secretStdin !== true) return typeof given === 'string' ? given : undefined;
  if (given !== undefined) throw new ConfigInvalid('--token', '--token: allowed: one of --token and --secret-stdin');
  return await askSecret(`token of sensor ${id}: `);
}

/** The keys of LOAM_SECRET_KEY. Rejects with ConfigInvalid when there is none, and for a weak token. */
async function keysFor(options: Options, token: string): Promise<SecretKeys> {
  if (!isStrongToken(token)) throw refusedToken();
  return await keysOf(options);
}

/** What the registry keeps of a token. Throws ConfigInvalid for one that is weak or taken. */
function keptOf(
  token: string,
  keys: SecretKeys | undefined,
  registry: Registry,
  owner: { farm: string; id: string },
): string {
  const kept = keys && keptToken(registry, token, keys, owner);
  if (kept === undefined) throw refusedToken();
  return kept;
}

function refusedToken(): ConfigInvalid {
  return new ConfigInvalid('--token', `--token: ${TOKEN_REFUSED}`);
}

/** `loam sensor list`: one line a sensor. */
export async function listSensors(options: Options): Promise<void> {
  const sensors = await lookIntoRegistry(settingsOf(options), (registry) => registry.sensors);
  if (sensors.length === 0) print('No sensor is registered: loam sensor add --help\n');
  for (const s of sensors) printRow([s.id, s.farm, s.field, s.role, s.name ?? '']);
}
