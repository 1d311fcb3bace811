/** A reading that was acknowledged, so that Loam must have it. `ts` is Unix ms. */
export interface AuditedPromise {
  readonly farm: string;
  readonly sensor: string;
  readonly seq: number;
  readonly ts: number;
}

/** A stored value of the metric `seq`. */
export interface Stored {
  readonly ts: number;
  readonly value: number;
}

export interface Audit {
  readonly sensors: number;
  readonly promised: number;
  /** Promised readings that are stored with their time and their number. */
  readonly found: number;
  readonly missing: number;
  /** How many copies are too many, of all sequence numbers that are stored more than once. */
  readonly duplicates: number;
  /** Stored but never promised: their acknowledgement did not arrive before the end of the load test. */
  readonly unpromised: number;
  /** The first missing readings, for a person to look at. */
  readonly examples: readonly AuditedPromise[];
}

const MOST_EXAMPLES = 10;

/**
 * Compares the promised readings with the stored ones. Rejects when `promises` or `stored` fails, with the same error.
 * `stored` gives a sensor's values of the metric `seq` with from <= ts < to.
 */
export async function compare(
  promises: AsyncIterable<AuditedPromise>,
  stored: (farm: string, sensor: string, from: number, to: number) => AsyncIterable<Stored>,
): Promise<Audit> {
  const sensors = await bySensor(promises);
  const sum = { promised: 0, found: 0, missing: 0, duplicates: 0, unpromised: 0 };
  const examples: AuditedPromise[] = [];
  for (const { farm, sensor, times } of sensors) {
    const seen = new Set<number>();
    const right = new Set<number>();
    const [from, to] = extent(times.values());
    for await (const { ts, value } of stored(farm, sensor, from, to + 1)) {
      if (seen.has(value)) sum.duplicates += 1;
      seen.add(value);
      const promisedTs = times.get(value);
      if (promisedTs === undefined) sum.unpromised += 1;
      else if (promisedTs === ts) right.add(value);
    }
    sum.promised += times.size;
    sum.found += right.size;
    for (const [seq, ts] of times) {
      if (right.has(seq)) continue;
      sum.missing += 1;
      if (examples.length < MOST_EXAMPLES) examples.push({ farm, sensor, seq, ts });
    }
  }
  return { sensors: sensors.length, ...sum, examples };
}

interface SensorPromises {
  readonly farm: string;
  readonly sensor: string;
  /** The time of the reading with each sequence number, Unix ms. */
  readonly times: Map<number, number>;
}

async function bySensor(promises: AsyncIterable<AuditedPromise>): Promise<SensorPromises[]> {
  const sensors = new Map<string, SensorPromises>();
  for await (const { farm, sensor, seq, ts } of promises) {
    const key = `${farm}/${sensor}`;
    const known = sensors.get(key) ?? { farm, sensor, times: new Map<number, number>() };
    known.times.set(seq, ts);
    sensors.set(key, known);
  }
  return [...sensors.values()];
}

function extent(times: Iterable<number>): [number, number] {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const ts of times) {
    from = Math.min(from, ts);
    to = Math.max(to, ts);
  }
  return [from, to];
}
