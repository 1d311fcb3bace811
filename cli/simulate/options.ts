import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import { PACKAGE_ROOT } from '../../core/package-root.ts';
import type { Shard } from '../../simulators/profile/devices.ts';
import { type Group, type Profile, parseProfile } from '../../simulators/profile/schema.ts';
import { replayScript } from '../../simulators/replay.ts';
import { profileScript, type RunOptions, type Script, type SignIn } from '../../simulators/run.ts';
import { type Options, positive, text } from '../options.ts';

const PROFILES = fileURLToPath(new URL('simulators/profiles/', PACKAGE_ROOT));
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** The options of `loam simulate`. Times in ms. */
export interface SimulateOptions {
  readonly title: string;
  readonly script: Script;
  readonly run: Pick<RunOptions, 'url' | 'start' | 'client'>;
  readonly forMs: number | undefined;
  readonly secrets: string | undefined;
  /** Every connection signs in with this name and password. */
  readonly alike: SignIn | undefined;
  readonly provision: boolean;
  readonly verify: boolean;
  readonly report: string | undefined;
  readonly load: LoadSettings | undefined;
}

export interface LoadSettings {
  /** Publishes a second; absent: as fast as they are acknowledged. */
  readonly rate: number | undefined;
  readonly rampMs: number;
  readonly untilBreak: boolean;
  readonly inFlight: number;
  readonly threads: number;
  readonly qos: 0 | 1;
}

/** Reads the command's options. Rejects with ConfigInvalid, which names the option, what was given and what is allowed. */
export async function readSimulateOptions(options: Options): Promise<SimulateOptions> {
  const replay = text(options, 'replay');
  const load = loadSettings(options);
  const isVerified = options.verify === true;
  if (isVerified && (replay !== undefined || load !== undefined)) {
    throw new ConfigInvalid('--verify', '--verify: goes with a profile, not with --replay, --rate or --closed');
  }
  const { script, title, forMs } =
    replay === undefined ? await fromProfile(options) : await fromRecording(options, replay);
  const time = text(options, 'for');
  const start = text(options, 'start');
  const username = text(options, 'username');
  const password = text(options, 'password');
  return {
    title,
    script,
    run: {
      url: mqttUrl(text(options, 'mqtt') ?? ''),
      ...(start === undefined ? {} : { start: moment(start) }),
      ...clientOf(text(options, 'client')),
    },
    forMs: time === undefined ? forMs : duration('--for', time),
    secrets: text(options, 'secrets'),
    alike: username === undefined ? undefined : { username, ...(password === undefined ? {} : { password }) },
    provision: options.provision === true,
    verify: isVerified,
    report: text(options, 'report'),
    load,
  };
}

async function fromProfile(options: Options) {
  const name = text(options, 'profile') ?? 'demo';
  const profile = withOverrides(await readProfile(name), options);
  const shard = shardOf(text(options, 'shard'));
  return { script: profileScript(profile, shard), title: `loam simulate --profile ${name}`, forMs: profile.for };
}

async function fromRecording(options: Options, path: string) {
  const speed = positive('--speed', text(options, 'speed') ?? '1');
  const farm = text(options, 'farm') ?? 'demo';
  const times = text(options, 'times') ?? 'now';
  if (times !== 'now' && times !== 'recorded') {
    throw new ConfigInvalid('--times', `--times: got ${JSON.stringify(times)}, allowed: now, recorded`);
  }
  try {
    const script = await replayScript(path, { speed, farm, times });
    return { script, title: `loam simulate --replay ${path}`, forMs: undefined };
  } catch (error) {
    if (error instanceof ConfigInvalid) throw error;
    throw new ConfigInvalid('--replay', `--replay: ${explain(error)}`, { cause: error });
  }
}

/** Reads a built-in profile by its name, or else a profile file by its path. */
async function readProfile(name: string): Promise<Profile> {
  const ours = (await readdir(PROFILES)).map((file) => file.replace(/\.yaml$/, ''));
  const path = ours.includes(name) ? join(PROFILES, `${name}.yaml`) : name;
  let yaml: string;
  try {
    yaml = await readFile(path, 'utf8');
  } catch {
    const list = ours.sort().join(', ');
    throw new ConfigInvalid('--profile', `--profile: got ${JSON.stringify(name)}, allowed: ${list}, or a YAML file`);
  }
  return parseProfile(yaml, ours.includes(name) ? `${name}.yaml` : path);
}

function withOverrides(profile: Profile, options: Options): Profile {
  const interval = text(options, 'interval');
  const farm = text(options, 'farm');
  const change: Partial<Group> = {
    ...(interval === undefined ? {} : { interval: duration('--interval', interval) }),
    ...(farm === undefined ? {} : { farm }),
  };
  return { ...profile, groups: profile.groups.map((group) => ({ ...group, ...change })) };
}

function loadSettings(options: Options): LoadSettings | undefined {
  const rate = text(options, 'rate');
  if (rate === undefined && options.closed !== true && options.untilBreak !== true) return undefined;
  if (options.closed === true && (rate !== undefined || options.untilBreak === true)) {
    throw new ConfigInvalid(
      '--closed',
      '--closed: as fast as acknowledged, excludes --rate and --until-break: so many a second',
    );
  }
  const ramp = text(options, 'ramp');
  return {
    rate: rate === undefined ? (options.untilBreak === true ? 1_000 : undefined) : positive('--rate', rate),
    rampMs: ramp === undefined ? 0 : duration('--ramp', ramp),
    untilBreak: options.untilBreak === true,
    inFlight: whole('--in-flight', text(options, 'inFlight') ?? '20'),
    threads: whole('--threads', text(options, 'threads') ?? '1'),
    qos: qosOf(text(options, 'qos') ?? '1'),
  };
}

function qosOf(given: string): 0 | 1 {
  if (given === '0') return 0;
  if (given === '1') return 1;
  throw new ConfigInvalid('--qos', `--qos: got ${JSON.stringify(given)}, allowed: 0, 1`);
}

function shardOf(given: string | undefined): Shard {
  if (given === undefined) return { index: 0, of: 1 };
  const [, part = 0, of = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(given) ?? []).map(Number);
  if (part >= 1 && part <= of) return { index: part - 1, of };
  throw new ConfigInvalid('--shard', `--shard: got ${JSON.stringify(given)}, allowed: 1/4, 2/4, 3/4 or 4/4, and alike`);
}

function clientOf(given: string | undefined): Pick<RunOptions, 'client'> {
  if (given === undefined) return {};
  if (given === 'mqttjs' || given === 'packet') return { client: given };
  throw new ConfigInvalid('--client', `--client: got ${JSON.stringify(given)}, allowed: mqttjs, packet`);
}

/** A time in seconds, or with its unit: `90`, `250ms`, `90s`, `5m`, `2h`. */
function duration(option: string, given: string): number {
  const [, number = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? 0);
  if (number !== '' && ms > 0) return ms;
  throw new ConfigInvalid(
    option,
    `${option}: got ${JSON.stringify(given)}, allowed: seconds, or a time such as 250ms, 90s, 5m, 2h`,
  );
}

function whole(option: string, given: string): number {
  const value = Number(given);
  if (Number.isInteger(value) && value >= 1 && value <= 65_535) return value;
  throw new ConfigInvalid(option, `${option}: got ${JSON.stringify(given)}, allowed: a whole number from 1 to 65535`);
}

function moment(given: string): number {
  const ms = /^\d+$/.test(given) ? Number(given) : Date.parse(given);
  if (Number.isFinite(ms) && ms > 0) return ms;
  throw new ConfigInvalid('--start', `--start: got ${JSON.stringify(given)}, allowed: Unix ms, or ISO 8601`);
}

function mqttUrl(given: string): string {
  if (URL.canParse(given) && /^mqtts?:$/.test(new URL(given).protocol)) return given;
  throw new ConfigInvalid(
    '--mqtt',
    `--mqtt: got ${JSON.stringify(given)}, allowed: mqtt://HOST:PORT or mqtts://HOST:PORT`,
  );
}
