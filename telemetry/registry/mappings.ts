import { z } from 'zod';
import { MAPPING_KINDS, patternsOfKind } from '../mappings/kinds.ts';
import { readPattern } from '../mappings/pattern.ts';
import { ID, METRIC_NAME, RESERVED_METRICS } from '../reading.ts';
import { codecName } from '../reading-rules-schema.ts';

/** Most mappings of one farm: each publish to a foreign topic may be compared with all of them. */
export const MOST_OF_FARM = 200;
/** Most names in one mapping. */
const MOST_SENSORS = 1_000;

const id = z.string().regex(ID, 'an id is 1 to 64 letters, digits, _ . : or -, and begins with a letter or digit');

/**
 * Which sensor and metric a foreign topic means, or what reads it. `topic` is an MQTT filter with `{sensor}`,
 * `{metric}` or `{path}` in it.
 */
export const mappingSchema = z
  .strictObject({
    id,
    farm: id,
    topic: z.string().min(1).optional(),
    /** A system whose topics and payloads Loam knows; `topic` is then that of one device, where it is not the usual one. */
    kind: z.enum(MAPPING_KINDS).optional(),
    /** The sensor, bridge or source whose publishes it is about. Left out: everybody’s of the farm. */
    from: id.optional(),
    /** The sensor that it is about, where the topic does not name it. Left out: who publishes. */
    sensor: id.optional(),
    /** What the payload measures, where the topic does not say it. Left out, the payload is JSON with names in it. */
    metric: z
      .string()
      .regex(METRIC_NAME, 'a metric is 1 to 64 of a-z, 0-9 and _, and begins with a letter')
      .refine((metric) => !RESERVED_METRICS.has(metric), 'this name is reserved')
      .optional(),
    /** The codec that reads the payload, with a function `decode({topic, bytes, received})`. */
    codec: codecName.optional(),
    /** What the topic calls `{sensor}`, and the sensor that it is. */
    sensors: z
      .record(z.string().min(1).max(256), id)
      .refine((names) => Object.keys(names).length <= MOST_SENSORS, `at most ${MOST_SENSORS} names`)
      .optional(),
  })
  .superRefine((mapping, context) => {
    const wrong = whatIsWrong(mapping);
    if (wrong) context.addIssue({ code: 'custom', path: [wrong[0]], message: wrong[1] });
  });

export type Mapping = z.infer<typeof mappingSchema>;

/** The key that is wrong, and why. */
function whatIsWrong({
  topic,
  kind,
  sensor,
  metric,
  codec,
  sensors,
}: {
  readonly topic?: string | undefined;
  readonly kind?: (typeof MAPPING_KINDS)[number] | undefined;
  readonly sensor?: string | undefined;
  readonly metric?: string | undefined;
  readonly codec?: string | undefined;
  readonly sensors?: object | undefined;
}): [key: string, why: string] | undefined {
  if (topic === undefined && kind === undefined) return ['topic', 'it has a topic, or a kind'];
  const pattern = topic === undefined ? undefined : readPattern(topic);
  if (typeof pattern === 'string') return ['topic', pattern];
  const holes = pattern?.holes ?? new Set(['sensor']);
  if (kind !== undefined && (metric !== undefined || codec !== undefined)) {
    return [metric === undefined ? 'codec' : 'metric', 'a kind knows itself what its payloads mean'];
  }
  if (kind !== undefined && (holes.has('metric') || holes.has('path'))) {
    return ['topic', 'of a kind it is the topic of a device, such as tele/{sensor}'];
  }
  if (kind !== undefined && topic !== undefined && !isTopicOfKind(kind, topic)) {
    return ['topic', 'a kind has topics below it: it cannot end in #'];
  }
  if (sensor !== undefined && holes.has('sensor')) return ['sensor', 'the topic names the sensor already'];
  if (sensors !== undefined && !holes.has('sensor')) return ['sensors', 'the topic has no {sensor}'];
  const names = holes.has('metric') || holes.has('path');
  if (metric !== undefined && names) return ['metric', 'the topic names the metric already'];
  if (codec !== undefined && (metric !== undefined || names)) return ['codec', 'a codec names the metrics itself'];
  return undefined;
}

function isTopicOfKind(kind: (typeof MAPPING_KINDS)[number], topic: string): boolean {
  try {
    return patternsOfKind(kind, topic).length > 0;
  } catch {
    return false;
  }
}
