import { z } from 'zod';
import { perSecond, type Rate } from './rate.ts';

/**
 * How much one farm may take of an installation. What is left out has no limit of the farm; what every sensor and every user is
 * limited to holds beside it. Only who administers the whole installation sets it.
 */
export const farmQuotas = z.strictObject({
  /** Most registered sensors, for the farm's own admins; `USUAL_SENSORS` when left out. */
  sensors: z.int().min(0).max(1_000_000).optional(),
  /** Most ids of sensors that nobody registered and that its bridges and sources bring, at each broker. */
  unregistered: z.int().min(0).max(1_000_000).optional(),
  /** Most different metrics that its sensors may send and that neither the registry describes nor Loam knows, at each worker. */
  names: z.int().min(0).max(1_000_000).optional(),
  /** Publishes a second of all its sensors and bridges together, at each broker. Above that their connections are read more slowly. */
  messages: perSecond(1).optional(),
  /** Likewise, bytes of MQTT a second. */
  bytes: perSecond(1_000).optional(),
  /** MiB of dead letters a day. Further ones are only counted. */
  letters: z.number().min(0.01).max(1_000_000).optional(),
  /** Most commands that wait for its sensors. */
  commands: z.int().min(0).max(1_000_000).optional(),
  /** Most exports under way at once, in each gateway. */
  exports: z.int().min(0).max(1_000_000).optional(),
});

export type FarmQuotas = z.infer<typeof farmQuotas>;

/** Most sensors that a farm's own admins may register where no quota says so. */
export const USUAL_SENSORS = 20_000;

/** So many seconds of a farm's rate may come at once after a silence. */
const BURST_S = 10;
const UNLIMITED = 1_000_000_000;
const MIB = 1024 ** 2;

/** The rate of all of a farm's sensors and bridges together; undefined when it has no limit. */
export function farmRate({ messages, bytes }: FarmQuotas = {}): Rate | undefined {
  if (messages === undefined && bytes === undefined) return undefined;
  return { messages: messages ?? UNLIMITED, bytes: bytes ?? UNLIMITED, burst: BURST_S };
}

/** Bytes of dead letters that a farm may have kept a day, and at once; undefined when it has no limit. */
export function letterBytes({ letters }: FarmQuotas = {}): number | undefined {
  return letters === undefined ? undefined : letters * MIB;
}
