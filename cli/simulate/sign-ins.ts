import { z } from 'zod';
import { clock } from '../../core/clock.ts';
import type { Config } from '../../core/config.ts';
import { ApiRefused, ConfigInvalid } from '../../core/errors.ts';
import { pause } from '../../core/timing.ts';
import { demoSecretsPath, readCredentials, simulatedSecretsPath, writeCredentials } from '../../roles/data-folder.ts';
import type { DemoCredential } from '../../simulators/demo.ts';
import { sensorKey } from '../../simulators/ledger.ts';
import { PacketLink } from '../../simulators/links/packet.ts';
import type { DeviceConnection } from '../../simulators/profile/devices.ts';
import type { RunOptions } from '../../simulators/run.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import type { Api } from '../api.ts';

const farms = z.object({
  farms: z.array(z.object({ id: z.string(), fields: z.array(z.object({ id: z.string() })) })),
});
const registered = z.object({ sensor: z.object({ id: z.string() }), secret: z.string() });
/** Sensors in one request: each request reads and writes the whole registry file. */
const AT_ONCE = 100;

/**
 * The secrets of sensors that may be simulated, by `sensorKey`: those in `file`, or else those that the demo farm and
 * --provision left in the data folder.
 */
export async function knownSecrets(config: Config, file: string | undefined): Promise<Map<string, DemoCredential>> {
  const paths = file === undefined ? [demoSecretsPath(config), simulatedSecretsPath(config)] : [file];
  const lists = await Promise.all(paths.map((path) => readCredentials(path)));
  if (file !== undefined && !lists[0]) throw new ConfigInvalid('--secrets', `--secrets: ${file} is not there`);
  return new Map(lists.flatMap((list) => list ?? []).map((one) => [keyOf(one), one]));
}

/** How each connection of `lines` signs in. Throws ConfigInvalid, which says what to do, when a secret is unknown. */
export function signIns(
  lines: readonly DeviceConnection[],
  known: ReadonlyMap<string, DemoCredential>,
): RunOptions['signIn'] {
  const unknown = lines.filter((line) => !known.has(lineKey(line)));
  if (unknown.length > 0) {
    const [first] = unknown;
    throw new ConfigInvalid(
      '--secrets',
      `--secrets: the secret of ${first?.id}${unknown.length > 1 ? ` and ${unknown.length - 1} others` : ''} is not known; ` +
        '--provision registers the sensors of a profile with a running Loam, --username signs all in alike, and the first `loam up` writes the secrets of its demo farm',
    );
  }
  return (line) => {
    const found = known.get(lineKey(line))?.secret;
    return { username: line.id, ...(found === undefined ? {} : { password: found }) };
  };
}

/**
 * Registers over HTTP the connections of `lines` that have no known secret, and keeps their secrets in the data folder.
 * `onProgress` gets how many are done.
 * A sensor that is registered already gets a new secret. Resolves with the sensor registered last, or undefined when
 * none was. Rejects with ConfigInvalid when a farm does not exist, with ApiRefused as the API does, and with the
 * signal's reason when the signal ends it.
 */
export async function provision(
  api: Api,
  config: Config,
  lines: readonly DeviceConnection[],
  known: Map<string, DemoCredential>,
  onProgress: (done: number, of: number) => void,
  signal: AbortSignal,
): Promise<DemoCredential | undefined> {
  const there = new Map((await api.call('/api/farms', farms)).farms.map((farm) => [farm.id, farm.fields]));
  const path = simulatedSecretsPath(config);
  const made = new Map(((await readCredentials(path)) ?? []).map((one) => [keyOf(one), one]));
  const missing = lines.filter((line) => !known.has(lineKey(line)));
  try {
    let done = 0;
    for (const farm of new Set(missing.map(({ group }) => group.farm))) {
      const fields = there.get(farm) ?? refuseFarm(farm, there.keys());
      const lines = missing.filter(({ group }) => group.farm === farm);
      for (let at = 0; at < lines.length; at += AT_ONCE) {
        signal.throwIfAborted();
        const lot = lines.slice(at, at + AT_ONCE);
        const wanted = lot.map((line, i) => described(line, fields, at + i));
        const secrets = await register(api, farm, wanted);
        for (const { id, group } of lot) {
          const credential = { id, farm, secret: secretOf(id, secrets), kind: group.kind, seed: 0 };
          known.set(keyOf(credential), credential);
          made.set(keyOf(credential), credential);
        }
        done += lot.length;
        onProgress(done, missing.length);
      }
    }
  } finally {
    // Also after a failure or a signal: the next run then registers only the rest.
    if (missing.length > 0) await writeCredentials(path, [...made.values()]);
  }
  const last = missing.at(-1);
  return last && known.get(lineKey(last));
}

function keyOf({ farm, id }: DemoCredential): string {
  return sensorKey(farm, id);
}

function lineKey({ group, id }: DeviceConnection): string {
  return sensorKey(group.farm, id);
}

const LET_IN_MS = 15_000;

/**
 * Waits until the broker at `url` accepts the sensor that was registered last: a broker in another process reads the
 * registry every few seconds.
 * Resolves too when 15 s have passed, the broker cannot be reached, or `signal` ends the run: the run itself reports
 * these.
 */
export async function waitUntilAccepted(
  url: string,
  { id, secret }: DemoCredential,
  signal: AbortSignal,
): Promise<void> {
  const link = new PacketLink({ url, clientId: id, username: id, password: secret });
  const end = clock.passed() + LET_IN_MS;
  link.start();
  try {
    while (!link.connected && !signal.aborted && clock.passed() < end) {
      if (link.refused && link.refused.code === undefined) return;
      await pause(50, signal);
    }
  } finally {
    await link.stop(0);
  }
}

interface WantedSensor {
  readonly id: string;
  readonly role: string;
  readonly field: string;
  /** Seconds. */
  readonly interval: number;
}

function described(
  { id, role, group }: DeviceConnection,
  fields: readonly { id: string }[],
  turn: number,
): WantedSensor {
  const wanted = group.fields.length > 0 ? group.fields : fields.map((field) => field.id);
  const field = wanted.filter((one) => fields.some((known) => known.id === one))[turn % Math.max(1, wanted.length)];
  return {
    id,
    role,
    field: role === 'bridge' ? UNASSIGNED : (field ?? UNASSIGNED),
    interval: Math.max(1, Math.round(group.interval / 1_000)),
  };
}

/** Registers all in one request, or one by one if any of them exists already. Resolves with the secrets by id. */
async function register(api: Api, farm: string, all: readonly WantedSensor[]): Promise<Map<string, string>> {
  const path = `/api/farms/${encodeURIComponent(farm)}/sensors`;
  try {
    const answers = await api.call(path, registered.array().length(all.length), { method: 'POST', body: all });
    return new Map(answers.map(({ sensor, secret }) => [sensor.id, secret]));
  } catch (error) {
    if (!isTaken(error)) throw error;
  }
  const secrets = new Map<string, string>();
  for (const one of all) {
    const { secret } = await api.call(path, registered, { method: 'POST', body: one }).catch((error: unknown) => {
      if (!isTaken(error)) throw error;
      return api.call(`${path}/${encodeURIComponent(one.id)}/secret`, registered, { method: 'POST' });
    });
    secrets.set(one.id, secret);
  }
  return secrets;
}

/** Throws ApiRefused where the answer does not name the sensor. */
function secretOf(id: string, secrets: ReadonlyMap<string, string>): string {
  const secret = secrets.get(id);
  if (secret !== undefined) return secret;
  throw new ApiRefused(
    `the gateway registered sensors, but its answer leaves out ${id}; is it a Loam of the same version?`,
    {
      status: 201,
      problem: 'unexpected-answer',
    },
  );
}

function isTaken(error: unknown): boolean {
  return error instanceof ApiRefused && error.status === 409;
}

function refuseFarm(farm: string, there: Iterable<string>): never {
  const list = [...there].join(', ') || 'none';
  throw new ConfigInvalid('--farm', `--farm: there is no farm "${farm}" to provision sensors in; there is: ${list}`);
}
