import { meanKindOf } from '../../telemetry/field-value.ts';
import type { HistoryBucket, HistoryQuery } from '../ports/store.ts';
import { longestHeld, storable } from '../ports/store-checks.ts';
import { type LastValues, toBuckets } from './buckets.ts';
import { InfiniteNumber, type ResultRows } from './http.ts';
import { inParts, ofCut } from './parts.ts';
import * as ql from './ql.ts';

/** The server that a history is asked of. */
export interface HistoryServer {
  ask(statements: readonly string[]): AsyncGenerator<ResultRows>;
  /** What it refuses because it is too much is asked for in parts (InfluxDB 3). */
  readonly divides: boolean;
}

/** The buckets of a query whose range consists of `cuts`, in order of time. Throws as the server's `ask`. */
export async function historyOf(
  query: HistoryQuery,
  cuts: readonly ql.RangeCut[],
  server: HistoryServer,
): Promise<HistoryBucket[]> {
  const lasts: LastValues = {
    before: (sensors) => before({ ...query, sensors }, server),
    within: (sensors) => ofCuts(cuts, (cut) => ql.lasts({ ...query, sensors }, cut), server),
  };
  const asked = async (form: ql.MeanForm) => {
    const found = await ofCuts(cuts, (cut) => ql.history(query, cut, form), server);
    return await toBuckets(query, found, form, lasts);
  };
  if (meanKindOf(query.metric) === 'circle') return await asked('circle');
  try {
    return await asked('plain');
  } catch (error) {
    if (!(error instanceof InfiniteNumber)) throw error;
  }
  return await asked('scaled');
}

/** The rows of all cuts, each with the number of its statement among those of its cut. */
async function ofCuts(
  cuts: readonly ql.RangeCut[],
  of: (cut: ql.RangeCut) => string[],
  { ask, divides }: HistoryServer,
): Promise<ResultRows[]> {
  const asked = async (some: readonly ql.RangeCut[]) => {
    const statements = some.flatMap(of);
    const each = statements.length / some.length;
    const rows = await all(ask(statements));
    return rows.map((row) => ({ ...row, statement: row.statement % each }));
  };
  if (!divides) return await asked(cuts);
  // Divided cuts are asked for one by one.
  const found: ResultRows[] = [];
  for (const cut of cuts) found.push(...(await ofCut(cut, (part) => asked([part]))));
  return found;
}

/** What each sensor of a query measured last before its range, as far back as it may be held. */
async function before(query: HistoryQuery, { ask }: HistoryServer): Promise<ResultRows[]> {
  const range = storable(query.from - longestHeld(query), query.from);
  return range === undefined ? [] : await all(inParts(range, (part) => ask([ql.lastOf(query, part)])));
}

async function all(rows: AsyncIterable<ResultRows>): Promise<ResultRows[]> {
  const found: ResultRows[] = [];
  for await (const one of rows) found.push(one);
  return found;
}
