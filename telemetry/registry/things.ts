import { createHash } from 'node:crypto';
import { z } from 'zod';
import { RegistryInvalid } from '../../core/errors.ts';
import { KEPT_TOKEN } from '../../core/secret-key.ts';
import { PASSWORD_HASH } from '../../core/secrets.ts';
import { refuseZone } from '../calendar.ts';
import { farmQuotas } from '../farm-quotas.ts';
import { MOST_MAIN } from '../main-metrics.ts';
import { rate, rates } from '../rate.ts';
import { ID, METRIC_NAME, RESERVED_METRICS } from '../reading.ts';
import { clockPolicy, codecName, metricReading, sensorReading } from '../reading-rules-schema.ts';
import { mappingSchema } from './mappings.ts';
import { sourceSchema } from './sources.ts';

/** The field of sensors that have none, such as unregistered ones that a bridge brings. */
export const UNASSIGNED = 'unassigned';
/** In a user's `farms`: every farm. */
export const EVERY_FARM = '*';
/** Longest text of a codec, and of all codecs together: every process has them in memory. In characters. */
export const LARGEST_CODEC = 1024 ** 2;
export const MOST_CODEC_TEXT = 32 * 1024 ** 2;
export const ROLES = ['viewer', 'agronomist', 'admin'] as const;
export type Role = (typeof ROLES)[number];

const id = z.string().regex(ID, 'an id is 1 to 64 letters, digits, _ . : or -, and begins with a letter or digit');
const CERTIFICATE_HEX = /^[0-9A-Fa-f]{1,2}(?::?[0-9A-Fa-f]{2}){0,31}$/;
const name = z.string().min(1).max(200);
const latLon = z.tuple([z.number().min(-90).max(90), z.number().min(-180).max(180)]);

const farm = z.strictObject({
  id,
  name,
  timezone: z.string().refine(isTimezone, 'not an IANA time zone such as Europe/Berlin'),
  /** Whose clock dates what its sensors send, where neither they nor their bridge or source say so. */
  clock: clockPolicy.optional(),
  quotas: farmQuotas.optional(),
});
const metricId = z
  .string()
  .regex(METRIC_NAME, 'a metric is 1 to 64 of a-z, 0-9 and _, and begins with a letter')
  .refine((m) => !RESERVED_METRICS.has(m), 'this name is reserved');
const field = z.strictObject({
  id,
  farm: id,
  name,
  crop: z.string().max(200).optional(),
  polygon: z.array(latLon).min(3).max(1000).optional(),
  /** The metrics that stand for it, first the foremost. Left out: what growers look for first (`mainMetrics`). */
  main: z
    .array(metricId)
    .min(1)
    .max(MOST_MAIN)
    .refine((main) => new Set(main).size === main.length, 'each metric once')
    .optional(),
});
/** A sensor as the registry has it. */
export const sensorSchema = z.strictObject({
  id,
  farm: id,
  field: id.default(UNASSIGNED),
  name: name.optional(),
  position: latLon.optional(),
  /** How often it is expected to report, in seconds. */
  interval: z
    .number()
    .min(1)
    .max(31 * 86_400)
    .default(600),
  /** SHA-256 of its secret, in hex. */
  secret: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in hex: make one with `loam sensor add`')
    .optional(),
  /** The id of a key of LOAM_SECRET_KEY, and by that key the HMAC-SHA-256, in hex, of a token that the device came with. */
  token: z.string().regex(KEPT_TOKEN, 'not an HMAC in hex: make one with `loam sensor add --token`').optional(),
  role: z.enum(['sensor', 'bridge']).default('sensor'),
  /** `id`: a certificate whose common name is the id alone means this sensor, though other farms have the same id. */
  cn: z.literal('id').optional(),
  /** Certificates that let nobody in as this sensor any more: serial numbers or SHA-256 fingerprints, in hex. */
  revoked: z
    .array(z.string().regex(CERTIFICATE_HEX, 'not a serial number or a SHA-256 fingerprint in hex'))
    .min(1)
    .max(100)
    .optional(),
  rate: rate.optional(),
  ...sensorReading,
});
const metric = z.strictObject({
  id: metricId,
  label: name,
  unit: z.string().max(32).default(''),
  /** The normal range; outside it a value is shown as too low or too high. */
  min: z.number().optional(),
  max: z.number().optional(),
  decimals: z.int().min(0).max(10).default(1),
  ...metricReading,
});
const user = z.strictObject({
  name: id,
  /** scrypt hash; absent until the user has chosen a password. */
  password: z.string().regex(PASSWORD_HASH, 'not a password hash: make one with `loam user add`').optional(),
  farms: z.record(z.union([id, z.literal(EVERY_FARM)]), z.enum(ROLES)),
});
/** What holds for the whole installation, by name. `rates` are those of sensors and bridges that have none of their own. */
const setting = z.strictObject({ id: z.literal('rates'), ...rates.shape });
/** A codec, as the text of its JavaScript. Sensors name it as they name a file beside the registry. */
const codec = z.strictObject({ id: codecName, text: z.string().max(LARGEST_CODEC) });

/** Every kind of thing in the registry, each after the kinds of things that must be there for it. */
export const KINDS = ['farm', 'field', 'sensor', 'metric', 'user', 'source', 'setting', 'codec', 'mapping'] as const;
export type Kind = (typeof KINDS)[number];

/** What a thing of each kind is. */
export const THING_SCHEMAS = {
  farm,
  field,
  sensor: sensorSchema,
  metric,
  user,
  source: sourceSchema,
  setting,
  codec,
  mapping: mappingSchema,
};

export type Farm = z.infer<typeof farm>;
export type Field = z.infer<typeof field>;
export type Sensor = z.infer<typeof sensorSchema>;
export type Metric = z.infer<typeof metric>;
export type User = z.infer<typeof user>;
export type RegistrySetting = z.infer<typeof setting>;
export type RegistryCodec = z.infer<typeof codec>;

export type Things = { readonly [K in Kind]: z.infer<(typeof THING_SCHEMAS)[K]> };
export type Thing = Things[Kind];

/** A thing with its kind and id. */
export interface NamedThing {
  readonly kind: Kind;
  readonly id: string;
  readonly thing: Thing;
}

/** Most things of a kind. */
export const MOST_THINGS: Readonly<Record<Kind, number>> = {
  farm: 10_000,
  field: 100_000,
  sensor: 1_000_000,
  metric: 10_000,
  user: 100_000,
  source: 100,
  setting: 100,
  codec: 1_000,
  mapping: 10_000,
};

const IDS: { readonly [K in Kind]: (thing: Things[K]) => string } = {
  farm: ({ id }) => id,
  field: ({ farm, id }) => `${farm}/${id}`,
  sensor: ({ farm, id }) => `${farm}/${id}`,
  metric: ({ id }) => id,
  user: ({ name }) => name,
  source: ({ id }) => id,
  setting: ({ id }) => id,
  codec: ({ id }) => id,
  mapping: ({ farm, id }) => `${farm}/${id}`,
};
const SCHEMAS: { readonly [K in Kind]: z.ZodType<Things[K]> } = THING_SCHEMAS;

/** The id of a thing, which names it among its kind: of a field, sensor or mapping FARM/ID, of a user the name, otherwise its own `id`. */
export function idOf<K extends Kind>(kind: K, thing: Things[K]): string {
  return IDS[kind](thing);
}

/** `value` as a thing of this kind, with defaults filled in. Throws RegistryInvalid, also when it has another id. */
export function readThing<K extends Kind>(kind: K, id: string, value: unknown): Things[K] {
  const read = SCHEMAS[kind].safeParse(withoutUndefined(value));
  if (!read.success) {
    const issue = read.error.issues[0];
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    throw wrongThing(kind, id, [...(issue?.path ?? []), ...unknown], issue?.message ?? `is no ${kind}`);
  }
  const own = IDS[kind](read.data);
  if (own !== id) throw wrongThing(kind, id, ['id'], `it says itself that it is "${own}"`);
  return read.data;
}

/** The error for a thing that is wrong at `path`. */
export function wrongThing(kind: Kind, id: string, path: readonly PropertyKey[], why: string): RegistryInvalid {
  const at = path.length === 0 ? '' : `, ${path.map(String).join('.')}`;
  return new RegistryInvalid(`${kind} ${id}${at}: ${why}`, { place: { kind, id, path } });
}

/**
 * The canonical text of a thing: JSON with its keys sorted, defaults filled in, and what is undefined left out. It is the
 * same wherever the registry is kept. `thing` is as its schema returns it.
 */
export function canonical<K extends Kind>(_kind: K, thing: Things[K]): string {
  return sorted(thing);
}

/** The version of a thing: the first 16 hex digits of the SHA-256 of its kind, id and canonical text. Equal things have equal versions. */
export function versionOf<K extends Kind>(kind: K, id: string, thing: Things[K]): string {
  const text = `${kind}\n${id}\n${canonical(kind, thing)}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** A key whose value is undefined is as good as none. */
function withoutUndefined(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined));
}

function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${sorted(inner)}`).join(',')}}`;
}

function isTimezone(zone: string): boolean {
  try {
    refuseZone(zone);
    return true;
  } catch {
    return false;
  }
}
