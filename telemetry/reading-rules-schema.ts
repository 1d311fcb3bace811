import { z } from 'zod';
import { CLOCKS, MOST_OFFSET_S } from './clock.ts';
import { PROFILE_NAMES } from './profiles.ts';
import { MAX_TS, METRIC_NAME, MIN_TS, RESERVED_METRICS } from './reading.ts';
import { isUnit } from './units.ts';

/** The parts of the registry that say how payloads are read. */

const metricId = z
  .string()
  .regex(METRIC_NAME, 'a metric is 1 to 64 of a-z, 0-9 and _, and begins with a letter')
  .refine((m) => !RESERVED_METRICS.has(m), 'this name is reserved');

const foldedName = z.string().regex(METRIC_NAME, 'an alias is written as it is after folding: a-z, 0-9 and _');

const unit = z.string().refine(isUnit, 'not a unit that Loam knows: docs/protocol-mqtt.md lists them');

/** The name of a codec: a path, as of a file beside the registry. */
export const codecName = z
  .string()
  .max(200)
  .regex(/^[\w.-]+(\/[\w.-]+)*\.js$/, 'a .js file beside the registry, such as codecs/lse01.js')
  .refine((file) => !file.split('/').includes('..'), 'a codec lies beside the registry or below it');

const profile = z.string().refine((name) => PROFILE_NAMES.includes(name), {
  error: ({ input }) =>
    `no profile ${JSON.stringify(String(input).slice(0, 64))}: there are ${PROFILE_NAMES.join(', ')}`,
});

/** A clock policy, of a sensor, bridge, source or farm. */
export const clockPolicy = z.union([
  z.enum(CLOCKS),
  // Seconds that are added to each time that the device gives: below 0 for a clock that is ahead.
  z.strictObject({ offset: z.number().min(-MOST_OFFSET_S).max(MOST_OFFSET_S) }),
]);

/** A day of UTC. */
const floor = z.iso.date().refine((day) => {
  const begin = Date.parse(day);
  return begin >= MIN_TS && begin < MAX_TS;
}, 'not a day of the years 2000 to 2199, such as 2020-01-01');

/** Keys of a sensor. */
export const sensorReading = {
  /** Whose clock dates its readings. */
  clock: clockPolicy.optional(),
  /** A time that it gives from before this day is not believed. 2020-01-01 when left out. */
  clockFloor: floor.optional(),
  /** What its maker means by its names and numbers, or several such; the first that knows a name counts. `aliases` and `units` come before. */
  profile: z.union([profile, z.array(profile).min(1).max(8)]).optional(),
  /** Its own names, folded, and the metrics that they mean. */
  aliases: z.record(foldedName, metricId).optional(),
  /** Units in which the sensor sends metrics, where they are not the metrics' own. */
  units: z.record(metricId, unit).optional(),
  /** The file with the codec for its bytes, relative to the registry's folder. */
  codec: codecName.optional(),
};

/** Most texts that one metric reads as numbers. */
const MOST_TEXTS = 100;

/** Keys of a metric. */
export const metricReading = {
  /** Texts that devices send in place of a number, and the number that each means, in the metric's unit. Letter case does not matter. */
  texts: z
    .record(z.string().trim().min(1).max(64), z.number())
    .refine((texts) => Object.keys(texts).length <= MOST_TEXTS, `at most ${MOST_TEXTS} texts`)
    .optional(),
  /** Other names, folded, that sensors have for it. */
  aliases: z.array(foldedName).max(100).optional(),
  /** The range that can be measured at all, in the metric's unit. A value outside it becomes a dead letter. */
  plausible: z
    .tuple([z.number(), z.number()])
    .refine(([least, most]) => least < most, 'the lower end first')
    .optional(),
};
