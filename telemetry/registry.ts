import { z } from 'zod';
import { RegistryInvalid } from '../core/errors.ts';
import { PASSWORD_HASH } from '../core/secrets.ts';
import { readYaml, YamlBroken, type YamlFile } from '../core/yaml.ts';
import { refuseZone } from './calendar.ts';
import { type Rates, rate, rates } from './rate.ts';
import { ID, METRIC_NAME, RESERVED_METRICS } from './reading.ts';
import { metricReading, sensorReading } from './reading-rules-schema.ts';
import { keyedNames } from './registry/keyed.ts';
import { type Source, sourceSchema } from './registry/sources.ts';

/** The field of sensors that have none, such as unregistered ones that a bridge brings. */
export const UNASSIGNED = 'unassigned';
/** In a user's `farms`: every farm. */
export const EVERY_FARM = '*';
export const ROLES = ['viewer', 'agronomist', 'admin'] as const;
export type Role = (typeof ROLES)[number];

const id = z.string().regex(ID, 'an id is 1 to 64 letters, digits, _ . : or -, and begins with a letter or digit');
const name = z.string().min(1).max(200);
const latLon = z.tuple([z.number().min(-90).max(90), z.number().min(-180).max(180)]);

const farm = z.strictObject({
  id,
  name,
  timezone: z.string().refine(isTimezone, 'not an IANA time zone such as Europe/Berlin'),
});
const field = z.strictObject({
  id,
  farm: id,
  name,
  crop: z.string().max(200).optional(),
  polygon: z.array(latLon).min(3).max(1000).optional(),
});
/** A sensor as it stands in the file. */
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
  /** HMAC-SHA-256 of a token that the device came with, in hex, by the key LOAM_SECRET_KEY. */
  token: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'not an HMAC in hex: make one with `loam sensor add --token`')
    .optional(),
  role: z.enum(['sensor', 'bridge']).default('sensor'),
  /** `id`: a certificate whose common name is the id alone means this sensor, though other farms have the same id. */
  cn: z.literal('id').optional(),
  rate: rate.optional(),
  ...sensorReading,
});
const metric = z.strictObject({
  id: z
    .string()
    .regex(METRIC_NAME, 'a metric is 1 to 64 of a-z, 0-9 and _, and begins with a letter')
    .refine((m) => !RESERVED_METRICS.has(m), 'this name is reserved'),
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
const registryFile = z.strictObject({
  farms: z.array(farm).max(10_000).default([]),
  fields: z.array(field).max(100_000).default([]),
  sensors: z.array(sensorSchema).max(1_000_000).default([]),
  rates: rates.default({}),
  metrics: z.array(metric).max(10_000).default([]),
  users: z.array(user).max(100_000).default([]),
  sources: z.array(sourceSchema).max(100).default([]),
});

export type Farm = z.infer<typeof farm>;
export type Field = z.infer<typeof field>;
export type Sensor = z.infer<typeof sensorSchema>;
export type Metric = z.infer<typeof metric>;
export type User = z.infer<typeof user>;

/** What is known of farms, sensors and people at one moment. It never changes: an edit makes a new one. */
export interface Registry {
  readonly farms: ReadonlyMap<string, Farm>;
  /** By farm, then by field id. */
  readonly fields: ReadonlyMap<string, ReadonlyMap<string, Field>>;
  /** The sensors of all farms, in the order of the file. */
  readonly sensors: readonly Sensor[];
  readonly sensorsOfFarm: ReadonlyMap<string, readonly Sensor[]>;
  /** The farm's sensor with this id. An id is unique within its farm only. */
  sensor(farm: string, id: string): Sensor | undefined;
  /** The sensors of all farms that have this id. Only for who signs in and did not say in which farm. */
  sensorsWithId(id: string): readonly Sensor[];
  /** By SHA-256 of the secret, for sensors that send nothing but their secret. */
  readonly sensorsBySecret: ReadonlyMap<string, Sensor>;
  /** By HMAC of the token, likewise. */
  readonly sensorsByToken: ReadonlyMap<string, Sensor>;
  /** What is of no use without LOAM_SECRET_KEY, by name: tokens, and values that begin with `sealed:`; at most 100. */
  readonly keyed: readonly string[];
  /** The rates of sensors and bridges that have none of their own. */
  readonly rates: Rates;
  readonly metrics: ReadonlyMap<string, Metric>;
  readonly users: ReadonlyMap<string, User>;
  /** Other MQTT brokers that readings are taken from. */
  readonly sources: ReadonlyMap<string, Source>;
}

/**
 * The registry in force, for roles that read it. `watch` calls back after every change and returns a function to end
 * that.
 */
export interface RegistryView {
  current(): Registry;
  watch(listener: (registry: Registry) => void): () => void;
}

/** Changes the registry's file: `change` gets its text and returns the new one. Rejects with RegistryInvalid when the result is not a registry. */
export interface RegistryEditor {
  edit(change: (text: string) => string): Promise<void>;
}

/** The role that a user has on a farm, or undefined. */
export function roleOn(user: User, farm: string): Role | undefined {
  // A farm id may be the name of something that every object inherits, such as `constructor`.
  return Object.hasOwn(user.farms, farm) ? user.farms[farm] : user.farms[EVERY_FARM];
}

/**
 * Reads a registry from the text of its YAML file. Throws RegistryInvalid, with the line where it is known, for broken
 * YAML, unknown keys, wrong values, duplicate ids and references to what does not exist.
 */
export function parseRegistry(text: string): Registry {
  // The last result is kept. An edit is parsed to check it, parsed again by the role that made it, and the next edit
  // begins with it. With a thousand sensors each parse takes 90 ms.
  if (newest?.text !== text) newest = { text, registry: readRegistry(text) };
  return newest.registry;
}

let newest: { readonly text: string; readonly registry: Registry } | undefined;

function readRegistry(text: string): Registry {
  const { value, lineOf } = readRegistryYaml(text);
  const refuse = (path: readonly PropertyKey[], message: string): never => {
    throw new RegistryInvalid(`${path.map(String).join('.') || 'registry'}: ${message}`, { line: lineOf(path) });
  };

  const parsed = registryFile.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    return refuse([...(issue?.path ?? []), ...unknown], issue?.message ?? 'not a registry');
  }
  return index(parsed.data, refuse);
}

type Refuse = (path: readonly PropertyKey[], message: string) => never;

function index(file: z.infer<typeof registryFile>, refuse: Refuse): Registry {
  const farms = unique('farms', file.farms, (f) => f.id, refuse);
  const metrics = unique('metrics', file.metrics, (m) => m.id, refuse);
  const users = unique('users', file.users, (u) => u.name, refuse);
  const { sensors } = file;
  const byFarm = sensorsByFarm(file, refuse);
  const byId = sensorsById(sensors, refuse);

  const fields = new Map(file.farms.map((f) => [f.id, new Map<string, Field>()]));
  for (const [i, f] of file.fields.entries()) {
    const ofFarm = fields.get(f.farm) ?? refuse(['fields', i, 'farm'], `there is no farm "${f.farm}"`);
    if (ofFarm.has(f.id)) refuse(['fields', i, 'id'], `"${f.id}" is there twice`);
    ofFarm.set(f.id, f);
  }
  for (const [i, s] of sensors.entries()) {
    if (s.field !== UNASSIGNED && !fields.get(s.farm)?.has(s.field)) {
      refuse(['sensors', i, 'field'], `farm "${s.farm}" has no field "${s.field}"`);
    }
  }
  for (const [i, u] of file.users.entries()) {
    for (const farmId of Object.keys(u.farms)) {
      if (farmId !== EVERY_FARM && !farms.has(farmId))
        refuse(['users', i, 'farms', farmId], `there is no farm "${farmId}"`);
    }
  }
  const sources = unique('sources', file.sources, (source) => source.id, refuse);
  for (const [i, source] of file.sources.entries()) {
    if (!farms.has(source.farm)) refuse(['sources', i, 'farm'], `there is no farm "${source.farm}"`);
  }
  return {
    farms,
    fields,
    sensors,
    sensorsOfFarm: new Map([...byFarm].map(([farm, ofFarm]) => [farm, [...ofFarm.values()]])),
    sensor: (farm, id) => byFarm.get(farm)?.get(id),
    sensorsWithId: (id) => byId.get(id) ?? [],
    sensorsBySecret: sensorsBy('secret', sensors, refuse),
    sensorsByToken: sensorsBy('token', sensors, refuse),
    keyed: keyedNames(file),
    rates: file.rates,
    metrics,
    users,
    sources,
  };
}

function sensorsByFarm(
  { farms, sensors }: Pick<z.infer<typeof registryFile>, 'farms' | 'sensors'>,
  refuse: Refuse,
): Map<string, Map<string, Sensor>> {
  const byFarm = new Map(farms.map(({ id }) => [id, new Map<string, Sensor>()]));
  for (const [i, sensor] of sensors.entries()) {
    const { id, farm } = sensor;
    const ofFarm = byFarm.get(farm) ?? refuse(['sensors', i, 'farm'], `there is no farm "${farm}"`);
    if (ofFarm.has(id)) refuse(['sensors', i], `farm "${farm}" has a sensor "${id}" twice`);
    ofFarm.set(id, sensor);
  }
  return byFarm;
}

function sensorsById(sensors: readonly Sensor[], refuse: Refuse): Map<string, Sensor[]> {
  const byId = new Map<string, Sensor[]>();
  for (const [i, sensor] of sensors.entries()) {
    const alike = byId.get(sensor.id) ?? [];
    if (sensor.cn !== undefined && alike.some(({ cn }) => cn !== undefined)) {
      refuse(['sensors', i, 'cn'], `another sensor "${sensor.id}" says so already`);
    }
    byId.set(sensor.id, [...alike, sensor]);
  }
  return byId;
}

function sensorsBy(key: 'secret' | 'token', sensors: readonly Sensor[], refuse: Refuse): Map<string, Sensor> {
  const found = new Map<string, Sensor>();
  for (const [i, sensor] of sensors.entries()) {
    const hash = sensor[key];
    if (hash === undefined) continue;
    if (found.has(hash)) refuse(['sensors', i, key], `another sensor has the same ${key}`);
    found.set(hash, sensor);
  }
  return found;
}

function unique<T>(list: string, items: readonly T[], key: (item: T) => string, refuse: Refuse): Map<string, T> {
  const found = new Map<string, T>();
  for (const [i, item] of items.entries()) {
    if (found.has(key(item))) refuse([list, i], `"${key(item)}" is there twice`);
    found.set(key(item), item);
  }
  return found;
}

function readRegistryYaml(text: string): YamlFile {
  try {
    return readYaml(text);
  } catch (error) {
    if (error instanceof YamlBroken) throw new RegistryInvalid(error.message, { cause: error, line: error.line });
    throw error;
  }
}

function isTimezone(zone: string): boolean {
  try {
    refuseZone(zone);
    return true;
  } catch {
    return false;
  }
}
