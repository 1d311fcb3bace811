import type { Store } from '../../backbone/ports/store.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { importEventId, type Overwritten } from '../../telemetry/event.ts';
import { msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';

/** Most stored values that are read for one import. They may be many more than its rows: what lies between their times is read too. */
export const MOST_COMPARED = 500_000;
const DEADLINE_MS = 30_000;

/** What an import overwrites: `batch` is the id of the batch that brings its readings, `at` is now, Unix ms. */
export interface ComparedImport {
  readonly farm: string;
  readonly sensor: string;
  readonly readings: readonly Pick<Reading, 'ts' | 'values'>[];
  readonly batch: string;
  readonly at: number;
}

export interface Comparison {
  /** One for each value that differs from the stored one of the same metric and time. */
  readonly overwritten: readonly Overwritten[];
  /** How many values are stored already as they are. */
  readonly unchanged: number;
  /** How many readings were not compared, because MOST_COMPARED values were read before their times came. */
  readonly notCompared: number;
}

/**
 * Compares readings with what the store has of their sensor, metrics and times, in one ranged read. What waits in the
 * queue is not in the store yet, and is not compared. Rejects with StoreUnavailable, also when the store does not answer
 * within 30 s, or with the reason of `left` when the caller leaves.
 */
export async function compareWithStore(store: Store, given: ComparedImport, left: AbortSignal): Promise<Comparison> {
  const { farm, sensor, readings, batch, at } = given;
  const brought = byTime(readings);
  const times = readings.map(({ ts }) => ts);
  const range = { from: msOf(least(times)), to: msOf(greatest(times)) + 1 };
  const metrics = [...new Set(readings.flatMap(({ values }) => Object.keys(values)))];
  const late = AbortSignal.timeout(DEADLINE_MS);
  const overwritten: Overwritten[] = [];
  let read = 0;
  let unchanged = 0;
  try {
    const query = { farm, sensors: [sensor], metrics, ...range };
    for await (const stored of store.export(query, AbortSignal.any([left, late]))) {
      if (read >= MOST_COMPARED)
        return { overwritten, unchanged, notCompared: times.filter((ts) => ts >= stored.ts).length };
      read++;
      const { metric, ts, value: old } = stored;
      const fresh = brought.get(ts)?.get(metric);
      if (fresh?.value === old) unchanged++;
      if (fresh === undefined || fresh.value === old) continue;
      const id = importEventId(batch, fresh.index, metric);
      const about = { id, farm, sensor, metric, ts, old, new: fresh.value, newBatch: batch };
      overwritten.push({ kind: 'overwritten', ...about, at, origin: 'import' });
    }
  } catch (error) {
    if (late.aborted && !left.aborted) throw new StoreUnavailable('no answer in time', { cause: error });
    throw error;
  }
  return { overwritten, unchanged, notCompared: 0 };
}

/** What an import brings, by time and metric. Two of its readings may have one time, when they have other metrics. */
function byTime(readings: ComparedImport['readings']): Map<number, Map<string, { index: number; value: number }>> {
  const found = new Map<number, Map<string, { index: number; value: number }>>();
  for (const [index, { ts, values }] of readings.entries()) {
    let metrics = found.get(ts);
    if (metrics === undefined) {
      metrics = new Map();
      found.set(ts, metrics);
    }
    for (const [metric, value] of Object.entries(values)) metrics.set(metric, { index, value });
  }
  return found;
}

function least(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}

function greatest(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}
