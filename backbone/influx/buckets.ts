import { instantOfMicros } from '../../telemetry/instant.ts';
import type { HistoryBucket } from '../ports/store.ts';
import type { ResultRows } from './http.ts';

/** Joins the answers to statements that come in pairs: all but the means, then the means, each to be multiplied by `scale`. */
export function toBuckets(found: readonly ResultRows[], scale: number): HistoryBucket[] {
  const rowsOf = (odd: number) =>
    found.filter(({ statement }) => statement % 2 === odd).flatMap(({ values }) => values);
  const means = new Map(rowsOf(1).map(([at, mean]) => [at, Number(mean) * scale]));
  return rowsOf(0).flatMap(([at, last, min, max, count, received]) => {
    const mean = means.get(at);
    // Without a last value it has other metrics only; without a mean it was deleted between the two statements.
    if (last === null || mean === undefined) return [];
    return [
      {
        ts: instantOfMicros(Number(at)),
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
