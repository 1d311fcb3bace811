import { ConfigInvalid } from '../core/errors.ts';
import { MAPPING_KINDS } from '../telemetry/mappings/kinds.ts';
import { PROFILE_NAMES } from '../telemetry/profiles.ts';
import type { Options } from './options.ts';

/** How the text of an option is read: as the value, or undefined when it has another form. */
interface Form {
  /** What is allowed, for people. */
  readonly is: string;
  readonly read: (text: string) => unknown;
}

/** A key of a thing, and its option: `--KEY`. What a value may be is the schema's to say. */
interface ThingKey {
  readonly value: string;
  readonly help: string;
  readonly form: Form;
  /** No thing is without it. */
  readonly isNeeded?: true;
}

const text: Form = { is: 'a text', read: (given) => given };
const number: Form = { is: 'a number', read: numberIn };
const list: Form = { is: 'A,B,…', read: (given) => given.split(',').map((part) => part.trim()) };
const oneOrMore: Form = {
  is: 'A, or A,B,…',
  read: (given) => (given.includes(',') ? given.split(',').map((part) => part.trim()) : given.trim()),
};
const pairs: Form = { is: 'NAME=VALUE,…', read: (given) => pairsIn(given, (value) => value) };
const numbers: Form = { is: 'NAME=NUMBER,…', read: (given) => pairsIn(given, numberIn) };
const clock: Form = {
  is: 'device, receipt, or how wrong it is: ahead=SECONDS or behind=SECONDS (or what is to be added: offset=SECONDS)',
  read: clockIn,
};
const point: Form = { is: 'two numbers, such as 52.51,13.37', read: pointIn };
const points: Form = {
  is: 'points such as "52.51,13.37 52.51,13.39 52.52,13.38"',
  read: (given) => whole(given.trim().split(/\s+/).map(pointIn)),
};

const CLOCK = 'whose clock dates readings: device, receipt, or ahead=SECONDS or behind=SECONDS to correct a device’s';

/**
 * What can be set on the command line, by kind and key: every key of a kind's schema but its id, its farm, and what is
 * secret.
 */
export const THING_KEYS = {
  farm: {
    name: { value: 'name', help: 'name that people know it by', form: text, isNeeded: true },
    timezone: { value: 'zone', help: 'IANA time zone, such as Europe/Berlin', form: text, isNeeded: true },
    clock: { value: 'clock', help: `where no sensor, bridge or source says so, ${CLOCK}`, form: clock },
    quotas: {
      value: 'limits',
      help: 'most that it may take: sensors=N,unregistered=N,names=N,messages=N,bytes=N (both a second),letters=MiB,commands=N,exports=N',
      form: numbers,
    },
  },
  field: {
    name: { value: 'name', help: 'name that people know it by', form: text, isNeeded: true },
    crop: { value: 'crop', help: 'what grows there', form: text },
    polygon: { value: 'points', help: 'its corners: "LATITUDE,LONGITUDE …"', form: points },
    main: { value: 'metrics', help: 'metrics that stand for it, first the foremost: A,B,…', form: list },
  },
  sensor: {
    field: { value: 'field', help: 'field it stands in', form: text },
    name: { value: 'name', help: 'name that people know it by', form: text },
    position: { value: 'point', help: 'where it stands: LATITUDE,LONGITUDE', form: point },
    interval: { value: 'seconds', help: 'how often it is expected to report', form: number },
    role: { value: 'role', help: 'sensor, or bridge for what speaks for other sensors of its farm', form: text },
    cn: { value: 'id', help: '"id": a certificate for the id alone means this one', form: text },
    revoked: {
      value: 'list',
      help: 'certificates that let in no more: serial numbers or SHA-256 fingerprints',
      form: list,
    },
    rate: { value: 'limits', help: 'most that it may publish: messages=N,bytes=N,burst=SECONDS', form: numbers },
    clock: { value: 'clock', help: CLOCK, form: clock },
    clockFloor: { value: 'day', help: 'from before this day no time is believed, such as 2020-01-01', form: text },
    profile: {
      value: 'names',
      help: `what its maker means by its names and numbers: ${PROFILE_NAMES.join(', ')}; or several, A,B`,
      form: oneOrMore,
    },
    aliases: { value: 'pairs', help: 'its own names of metrics: NAME=METRIC,…', form: pairs },
    units: {
      value: 'pairs',
      help: 'units in which it sends, where they are not the metrics’: METRIC=UNIT,…',
      form: pairs,
    },
    codec: { value: 'name', help: 'codec that reads its bytes', form: text },
  },
  mapping: {
    kind: { value: 'system', help: `whose topics and payloads Loam knows: ${MAPPING_KINDS.join(', ')}`, form: text },
    topic: {
      value: 'pattern',
      help: 'topics, with {sensor}, {metric} or {path} in them; of a kind that of a device',
      form: text,
    },
    from: { value: 'id', help: 'the sensor, bridge or source whose publishes it is about', form: text },
    sensor: { value: 'id', help: 'the sensor that it is about, where the topic does not say it', form: text },
    metric: { value: 'metric', help: 'what is measured, where the topic does not say it', form: text },
    codec: { value: 'name', help: 'codec that reads the payload', form: text },
    sensors: { value: 'pairs', help: 'what the topic calls sensors, and their ids: NAME=ID,…', form: pairs },
  },
  metric: {
    label: { value: 'label', help: 'name that people know it by', form: text, isNeeded: true },
    unit: { value: 'unit', help: 'unit of its values', form: text },
    min: { value: 'number', help: 'below it a value is shown as too low', form: number },
    max: { value: 'number', help: 'above it a value is shown as too high', form: number },
    decimals: { value: 'count', help: 'how many are shown', form: number },
    aliases: { value: 'names', help: 'other names that sensors have for it: A,B,…', form: list },
    texts: { value: 'pairs', help: 'texts that devices send for numbers: TEXT=NUMBER,…', form: numbers },
    plausible: { value: 'range', help: 'what can be measured at all: LEAST,MOST', form: point },
  },
  user: {
    farms: { value: 'roles', help: 'the role on each farm, or on * for every farm: FARM=ROLE,…', form: pairs },
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ThingKey>>>>;

/** The kinds of thing that have commands of one form. */
export type CommandKind = keyof typeof THING_KEYS;

/** Kinds whose things are each of a farm, and named within it. */
export type KindOfFarm = 'field' | 'sensor' | 'mapping';

export function isOfFarm(kind: CommandKind): kind is KindOfFarm {
  return kind === 'field' || kind === 'sensor' || kind === 'mapping';
}

/** The option that sets a key: `--clock-floor` for `clockFloor`. */
export function optionOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function keysOf(kind: CommandKind): [key: string, ThingKey][] {
  return Object.entries<ThingKey>(THING_KEYS[kind]);
}

/**
 * What the options say about a thing: undefined for a key that is to be taken away, because its text is empty. Throws
 * ConfigInvalid.
 */
export function valuesIn(kind: CommandKind, options: Options): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const [key, { form }] of keysOf(kind)) {
    const given = options[key];
    if (typeof given !== 'string') continue;
    const value = given === '' ? undefined : form.read(given);
    if (given !== '' && value === undefined) {
      const option = optionOf(key);
      throw new ConfigInvalid(option, `${option}: got ${JSON.stringify(given)}, allowed: ${form.is}`);
    }
    values[key] = value;
  }
  return values;
}

function numberIn(given: string): number | undefined {
  const value = Number(given);
  return given.trim() !== '' && Number.isFinite(value) ? value : undefined;
}

/** A clock policy. An offset is what is added, which is easily taken the wrong way round: so it may be told as how wrong the clock is. */
function clockIn(given: string): unknown {
  const at = given.indexOf('=');
  if (at < 0) return given === 'device' || given === 'receipt' ? given : undefined;
  const seconds = numberIn(given.slice(at + 1));
  const word = given.slice(0, at);
  if (seconds === undefined) return undefined;
  if (word === 'offset') return { offset: seconds };
  if (seconds < 0 || (word !== 'ahead' && word !== 'behind')) return undefined;
  return { offset: word === 'ahead' ? 0 - seconds : seconds };
}

function pointIn(given: string): readonly unknown[] | undefined {
  const parts = whole(given.split(',').map(numberIn));
  return parts?.length === 2 ? parts : undefined;
}

function pairsIn(given: string, read: (value: string) => unknown): Readonly<Record<string, unknown>> | undefined {
  const entries = given.split(',').map((part) => {
    const at = part.indexOf('=');
    const value = at < 1 ? undefined : read(part.slice(at + 1).trim());
    return value === undefined ? undefined : ([part.slice(0, at).trim(), value] as const);
  });
  const all = whole(entries);
  return all && Object.fromEntries(all);
}

/** The list when nothing in it is undefined. */
function whole<T>(found: readonly (T | undefined)[]): readonly T[] | undefined {
  const there = found.filter((one) => one !== undefined);
  return there.length === found.length ? there : undefined;
}
