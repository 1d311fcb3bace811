import {
  directionOf,
  type FieldMember,
  fieldValues,
  type MeasuredValue,
  meanKindOf,
} from '../../telemetry/field-value.ts';
import { instantOfMicros } from '../../telemetry/instant.ts';
import type { HistoryBucket, HistoryQuery } from '../ports/store.ts';
import type { ResultRows } from './http.ts';
import { type MeanForm, SCALE } from './ql.ts';

/** Asks for the last values of some sensors before a range, and in each of its buckets; the latter as `ql.lasts` does. */
export interface LastValues {
  before(sensors: readonly string[]): Promise<readonly ResultRows[]>;
  within(sensors: readonly string[]): Promise<readonly ResultRows[]>;
}

/** What is known of a sensor's buckets, by their begin (ms). */
type OwnMeans = Map<number, number>;

/**
 * The buckets of a query from the answers to `ql.history`. The last values are asked for only of sensors that measured
 * nothing in a bucket in which they may be held.
 */
export async function toBuckets(
  query: HistoryQuery,
  found: readonly ResultRows[],
  form: MeanForm,
  lasts: LastValues,
): Promise<HistoryBucket[]> {
  const known = found.filter(({ statement }) => statement === 0).flatMap(({ values }) => values);
  // Without a last value it has other metrics only.
  const ends = known.filter(([, last]) => last !== null).sort(([a], [b]) => Number(a) - Number(b));
  const begins = ends.map(([at]) => msAt(at));
  const means = meansOf(found, form);
  const held = new Map(query.held);
  const gone = (sensor: string) => held.has(sensor) && begins.some((begin) => !means.get(sensor)?.has(begin));
  const asked = query.sensors.filter(gone);
  const [before, within] = await Promise.all([
    asked.length === 0 ? [] : lasts.before(asked),
    asked.some((sensor) => means.has(sensor)) ? lasts.within(asked.filter((sensor) => means.has(sensor))) : [],
  ]);
  const earlier = beforeOf(before);
  const times = lastsOf(within);
  // A bucket that the range cuts begins with the range.
  const clipped = (begin: number) => Math.max(begin, query.from);
  const members = query.sensors.map((sensor): FieldMember => {
    const own = [...(means.get(sensor) ?? [])].sort(([a], [b]) => a - b);
    return {
      heldMs: held.get(sensor) ?? 0,
      before: earlier.get(sensor),
      buckets: own.map(([begin, mean]) => ({
        begin: clipped(begin),
        mean,
        last: times.get(sensor)?.get(begin) ?? { ts: Number.NEGATIVE_INFINITY, value: mean },
      })),
    };
  });
  const values = fieldValues(begins.map(clipped), members, meanKindOf(query.metric));
  return ends.flatMap(([, last, min, max, count, received], place) => {
    const mean = values[place];
    // Without a mean it was deleted between the two statements.
    if (mean === undefined) return [];
    return [
      {
        ts: begins[place] ?? 0,
        last: Number(last),
        min: Number(min),
        max: Number(max),
        mean,
        count: Number(count),
        received: Number(received),
      },
    ];
  });
}

function meansOf(found: readonly ResultRows[], form: MeanForm): Map<string, OwnMeans> {
  const means = new Map<string, OwnMeans>();
  for (const { statement, tags, values } of found) {
    if (statement !== 1) continue;
    const own = means.get(tags.sensor ?? '') ?? new Map<number, number>();
    means.set(tags.sensor ?? '', own);
    for (const [at, a, b] of values) {
      if (a === null) continue;
      const plain = form === 'scaled' ? Number(a) * SCALE : Number(a);
      own.set(msAt(at), form === 'circle' ? directionOf(Number(a), Number(b)) : plain);
    }
  }
  return means;
}

function beforeOf(rows: readonly ResultRows[]): Map<string, MeasuredValue> {
  const found = new Map<string, MeasuredValue>();
  for (const { tags, values } of rows) {
    for (const [at, value] of values) {
      const ts = instantOfMicros(Number(at));
      if (ts > (found.get(tags.sensor ?? '')?.ts ?? 0)) found.set(tags.sensor ?? '', { ts, value: Number(value) });
    }
  }
  return found;
}

/** By sensor and bucket. A first time begins the count of the gaps anew: a range may be asked for in parts. */
function lastsOf(rows: readonly ResultRows[]): Map<string, Map<number, MeasuredValue>> {
  const by = (wanted: number) => {
    const ofSensors = new Map<string, [micros: number, value: number][]>();
    for (const { statement, tags, values } of rows) {
      if (statement !== wanted) continue;
      const own = ofSensors.get(tags.sensor ?? '') ?? [];
      for (const [at, value] of values) if (value !== null) own.push([Number(at), Number(value)]);
      ofSensors.set(tags.sensor ?? '', own);
    }
    for (const own of ofSensors.values()) own.sort(([a], [b]) => a - b);
    return ofSensors;
  };
  const [firsts, gaps] = [by(1), by(2)];
  const found = new Map<string, Map<number, MeasuredValue>>();
  for (const [sensor, own] of by(0)) {
    const starts = firsts.get(sensor) ?? [];
    const passed = new Map(gaps.get(sensor));
    const lasts = new Map<number, MeasuredValue>();
    let start = 0;
    let at = 0;
    for (const [place, [begin, value]] of own.entries()) {
      const next = own[place + 1]?.[0] ?? Number.POSITIVE_INFINITY;
      const first = starts[start]?.[0];
      if (first !== undefined && first < next) {
        at = first;
        start += 1;
      }
      at += passed.get(begin) ?? 0;
      lasts.set(msAt(begin), { ts: instantOfMicros(at), value });
    }
    found.set(sensor, lasts);
  }
  return found;
}

function msAt(micros: unknown): number {
  return instantOfMicros(Number(micros));
}
