import type { TimeRange } from '../ports/store-checks.ts';
import { RangeTooWide } from './answers.ts';
import type { ResultRows } from './http.ts';
import type { RangeCut } from './ql.ts';

/** InfluxDB 3 keeps a file for each ten minutes; in less it reads as many as there are. */
const SHORTEST_MS = 600_000;

/** Asks about a range of time. */
export type AskRange = (range: TimeRange) => AsyncGenerator<ResultRows>;

/**
 * The rows of a range, the oldest or the newest part first. A range that is too wide for one query is halved until its parts are
 * not. Throws as `ask` does.
 */
export async function* inParts(
  range: TimeRange,
  ask: AskRange,
  first: 'oldest' | 'newest' = 'oldest',
): AsyncGenerator<ResultRows> {
  try {
    return yield* ask(range);
  } catch (error) {
    // Such a query is refused before its first row.
    if (!(error instanceof RangeTooWide) || range.to - range.from <= SHORTEST_MS) throw error;
  }
  const middle = Math.floor((range.from + range.to) / 2);
  const parts = [
    { from: range.from, to: middle },
    { from: middle, to: range.to },
  ];
  for (const part of first === 'oldest' ? parts : parts.reverse()) yield* inParts(part, ask, first);
}

/**
 * What `ask` makes of a cut, by as many queries as it takes. Cuts are divided between buckets only: rejects with RangeTooWide when a single
 * bucket is too wide.
 */
export async function ofCut<T>(cut: RangeCut, ask: (cut: RangeCut) => Promise<T[]>): Promise<T[]> {
  try {
    return await ask(cut);
  } catch (error) {
    if (!(error instanceof RangeTooWide)) throw error;
    const middle = edgeInside(cut);
    if (middle === undefined) {
      const why = `a bucket of ${Math.round(cut.width / 3_600_000)} hours needs more files than its query-file-limit allows`;
      throw new RangeTooWide(`InfluxDB: ${why}: ask for shorter buckets, or raise that limit`, { cause: error });
    }
    const earlier = await ofCut({ ...cut, to: middle }, ask);
    return [...earlier, ...(await ofCut({ ...cut, from: middle }, ask))];
  }
}

function edgeInside({ from, to, width, begin }: RangeCut): number | undefined {
  const middle = (from + to) / 2;
  const edge = begin + Math.round((middle - begin) / width) * width;
  for (const inside of [edge, edge - width, edge + width]) if (inside > from && inside < to) return inside;
  return undefined;
}
