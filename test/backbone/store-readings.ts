import type { HistoryBucket, HistoryQuery, LatestValue, Store } from '../../backbone/ports/store.ts';
import type { Reading } from '../../telemetry/reading.ts';

/** Readings for tests, and a store in memory, as simple as can be, that says what a real one must answer. */

export const T0 = Date.UTC(2025, 5, 1);
export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;
export const ALL = { from: T0 - 10_000 * DAY, to: T0 + 10_000 * DAY };

/** A reading of sensor `s` of farm `north`, received a second after it was measured. */
export function reading(ts: number, values: Record<string, number>, other: Partial<Reading> = {}): Reading {
  return { farm: 'north', sensor: 's', ts, received: ts + SECOND, values, ...other };
}

/** Batch `number` of a child process: ten readings that no other batch has. */
export function numbered(number: number): Reading[] {
  return Array.from({ length: 10 }, (_, i) => reading(T0 + (number * 10 + i) * SECOND, { number, i }));
}

export async function collect(values: AsyncIterable<LatestValue>): Promise<LatestValue[]> {
  const all: LatestValue[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Every value of one sensor of farm `north`, in order of time. */
export async function everything(store: Store, sensor = 's'): Promise<[ts: number, metric: string, value: number][]> {
  const all = await collect(store.export({ farm: 'north', sensors: [sensor], ...ALL }));
  return all.map(({ ts, metric, value }) => [ts, metric, value]);
}

/** Numbers in [0, 1) that are the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a store of one farm must hold. `begin` of a bucket is told by the test. */
export class Model {
  private readonly values = new Map<string, LatestValue>();
  private readonly received = new Map<string, number>();
  private readonly receivedPerValue: boolean;

  constructor(receivedPerValue: boolean) {
    this.receivedPerValue = receivedPerValue;
  }

  write(readings: readonly Reading[]): void {
    for (const { sensor, ts, received, values } of readings) {
      this.received.set(`${sensor} ${ts}`, received);
      for (const [metric, value] of Object.entries(values)) {
        this.values.set(`${sensor} ${metric} ${ts}`, { sensor, metric, ts, value, received });
      }
    }
  }

  all(): LatestValue[] {
    return [...this.values.values()].map((value) => ({
      ...value,
      received: this.receivedPerValue ? value.received : (this.received.get(`${value.sensor} ${value.ts}`) ?? 0),
    }));
  }

  latest(): LatestValue[] {
    const newest = new Map<string, LatestValue>();
    for (const value of this.all()) {
      const key = `${value.sensor} ${value.metric}`;
      if (value.ts > (newest.get(key)?.ts ?? 0)) newest.set(key, value);
    }
    return [...newest.values()];
  }

  history(query: HistoryQuery, begin: (ts: number) => number): HistoryBucket[] {
    const buckets = new Map<number, LatestValue[]>();
    for (const value of this.all()) {
      if (value.metric !== query.metric || !query.sensors.includes(value.sensor)) continue;
      if (value.ts < query.from || value.ts >= query.to) continue;
      const at = begin(value.ts);
      buckets.set(at, [...(buckets.get(at) ?? []), value]);
    }
    return [...buckets]
      .map(([ts, list]) => ({
        ...toBucket(ts, list),
        received: this.lastReceipt(query, list, (at) => begin(at) === ts),
      }))
      .sort((a, b) => a.ts - b.ts);
  }

  /** Where a time of receipt stands for all values of a point, points of other metrics count as well. */
  private lastReceipt(
    { sensors, from, to }: HistoryQuery,
    list: readonly LatestValue[],
    holds: (ts: number) => boolean,
  ) {
    if (this.receivedPerValue) return Math.max(...list.map(({ received }) => received));
    const points = [...this.received].filter(([key]) => {
      const [sensor = '', ts] = key.split(' ');
      const at = Number(ts);
      return sensors.includes(sensor) && at >= from && at < to && holds(at);
    });
    return Math.max(...points.map(([, received]) => received));
  }
}

function toBucket(ts: number, list: readonly LatestValue[]): Omit<HistoryBucket, 'received'> {
  const values = list.map(({ value }) => value);
  const last = list.reduce((a, b) => (b.ts > a.ts || (b.ts === a.ts && b.value > a.value) ? b : a));
  const sensors = [...new Set(list.map(({ sensor }) => sensor))];
  const own = (of: string) => meanOf(list.filter(({ sensor }) => sensor === of).map(({ value }) => value));
  return {
    ts,
    last: last.value,
    min: Math.min(...values),
    max: Math.max(...values),
    mean: meanOf(sensors.map(own)),
    count: values.length,
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** In one order, whatever the store's. */
export function sorted(values: readonly LatestValue[]): LatestValue[] {
  const key = ({ ts, sensor, metric }: LatestValue) => `${ts} ${sensor} ${metric}`;
  return [...values].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
