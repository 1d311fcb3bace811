import { z } from 'zod';
import { ConfigInvalid } from '../../core/errors.ts';
import { readYaml, YamlBroken } from '../../core/yaml.ts';
import { ID, METRIC_NAME } from '../../telemetry/reading.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(-?)(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** A time such as `250ms`, `10s`, `5m`, `2h`, `1d`, as ms. */
const duration = z
  .string('a time such as 250ms, 10s, 5m, 2h or 1d')
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'a time such as 250ms, 10s, 5m, 2h or 1d')
  .transform(milliseconds);
const shift = z
  .string('a time such as -3h or 45m')
  .regex(DURATION, 'a time such as -3h or 45m')
  .transform(milliseconds);
const share = z.number().min(0).max(1);
const id = z.string().regex(ID, 'an id is 1 to 64 letters, digits, _ . : or -, and begins with a letter or digit');

/** What can go wrong. `share` is that of the sensors that have the fault, unless it says of messages. */
const fault = z.discriminatedUnion('fault', [
  /**
   * The sensor was offline for `away` before the run begins, and is until `back` in the run. It then sends what it
   * measured meanwhile, every `step`, all at once.
   */
  z.strictObject({
    fault: z.literal('offline'),
    share: share.default(1),
    away: duration,
    back: duration,
    step: duration.default(300_000),
  }),
  /** The sensor's clock is wrong by `by`: ahead when above 0. */
  z.strictObject({ fault: z.literal('wrong-clock'), share: share.default(1), by: shift }),
  /** This share of all messages is sent twice. */
  z.strictObject({ fault: z.literal('duplicates'), share }),
  /** In addition, messages are sent that cannot be read: this share of all messages. */
  z.strictObject({ fault: z.literal('malformed'), share }),
  /** The sensor's connection breaks every `every`, and is down for `down`. */
  z.strictObject({ fault: z.literal('flapping'), share: share.default(1), every: duration, down: duration }),
  /** One metric shows the same value from `from` on. */
  z.strictObject({
    fault: z.literal('stuck'),
    share: share.default(1),
    metric: z.string().regex(METRIC_NAME),
    from: duration.default(0),
  }),
  /** From `from` on, for the time `for`, the sensor reports every `every`. */
  z.strictObject({
    fault: z.literal('runaway'),
    share: share.default(1),
    from: duration,
    for: duration,
    every: duration,
  }),
  /** All connections of the group break at `at`, and all come back at the same moment. */
  z.strictObject({ fault: z.literal('thundering'), at: duration }),
]);

export const FORMATS = ['native', 'thingsboard', 'senml', 'chirpstack', 'ttn'] as const;

const group = z
  .strictObject({
    /** Its sensors are `{name}-1` to `{name}-{count}`, unless `ids` names them. */
    name: id,
    count: z.number().int().min(1).max(100_000).optional(),
    ids: z.array(id).min(1).max(100_000).optional(),
    farm: id.default('demo'),
    /** The fields in which the sensors stand, by turns; empty: all fields of the farm. */
    fields: z.array(id).default([]),
    kind: z.enum(['soil', 'irrigated', 'weather', 'dripped', 'blocked', 'tunnel', 'all']).default('all'),
    interval: duration,
    /** Each interval is longer or shorter by up to this share of it. */
    jitter: share.default(0),
    qos: z.union([z.literal(0), z.literal(1)]).default(1),
    format: z.enum(FORMATS).default('native'),
    /** One connection, a bridge called `{name}-bridge`, publishes for all of them. LoRaWAN's formats always come so. */
    bridge: z.boolean().optional(),
    faults: z.array(fault).max(20).default([]),
  })
  .refine((g) => (g.count === undefined) !== (g.ids === undefined), { message: 'needs either count or ids' })
  .refine((g) => g.interval >= 10, { message: 'is to be 10ms or longer', path: ['interval'] })
  .refine((g) => !(g.bridge && g.format === 'thingsboard'), {
    message: 'thingsboard’s topic names no sensor: each needs a connection of its own',
    path: ['bridge'],
  });

const profile = z.strictObject({
  about: z.string().max(1_000).default(''),
  seed: z.number().int().min(0).max(2_147_483_647).default(1),
  /** How long a run lasts when the command does not say so. */
  for: duration.optional(),
  groups: z.array(group).min(1).max(100),
});

export type Profile = z.output<typeof profile>;
export type Group = z.output<typeof group>;
export type ProfileFault = z.output<typeof fault>;
export type PayloadFormat = (typeof FORMATS)[number];

/**
 * Reads a profile. Throws ConfigInvalid, which names `source` (a file), the line where it is known, the place in it and
 * what is wrong.
 */
export function parseProfile(text: string, source: string): Profile {
  const refuse = (line: number | undefined, what: string, cause?: unknown): never => {
    const where = line === undefined ? source : `${source}:${line}`;
    throw new ConfigInvalid('--profile', `--profile: ${where}: ${what}`, { cause });
  };
  const file = readOr(text, refuse);
  const parsed = profile.safeParse(file.value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    const path = [...(issue?.path ?? []), ...unknown];
    const place = path.map(String).join('.') || 'the profile';
    return refuse(file.lineOf(path), `${place}: ${issue?.message ?? 'is no profile'}`);
  }
  const names = parsed.data.groups.map(({ name }) => name);
  const twice = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twice >= 0)
    refuse(file.lineOf(['groups', twice, 'name']), `groups.${twice}.name: "${names[twice]}" is there twice`);
  return parsed.data;
}

/** How many sensors a profile has. */
export function sensorsOf({ groups }: Profile): number {
  return groups.reduce((sum, { ids, count }) => sum + (ids?.length ?? count ?? 0), 0);
}

function readOr(text: string, refuse: (line: number | undefined, what: string, cause?: unknown) => never) {
  try {
    return readYaml(text);
  } catch (error) {
    if (error instanceof YamlBroken) return refuse(error.line, error.message, error);
    throw error;
  }
}

function milliseconds(text: string): number {
  const [, sign = '', number = '', unit = ''] = DURATION.exec(text) ?? [];
  return Number(`${sign}${number}`) * (UNITS[unit] ?? 0);
}
