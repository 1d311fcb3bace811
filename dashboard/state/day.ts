import pLimit from 'p-limit';
import type { HistoryRow } from '../../client/series.ts';
import { isHeld } from '../../telemetry/field-value.ts';
import { getHistory } from '../api/gateway.ts';
import { inTurn } from './in-turn.ts';

const MINUTE_MS = 60_000;
/** How finely a day is played back. */
export const STEP_MS = 5 * MINUTE_MS;

/** A day's means of one sensor or field, in order of time. */
export class Track {
  readonly #ts: readonly number[];
  readonly #values: readonly number[];

  constructor(rows: readonly HistoryRow[]) {
    this.#ts = rows.map(([ts]) => ts);
    this.#values = rows.map(([, , , , mean]) => mean);
  }

  /** What was known at `at`: the newest value until then, unless it is `goodForMs` old. */
  at(at: number, goodForMs: number): number | undefined {
    let low = 0;
    let high = this.#ts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ts[middle] ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    const ts = this.#ts[low - 1];
    return ts === undefined || !isHeld(ts, at, goodForMs) ? undefined : this.#values[low - 1];
  }

  get empty(): boolean {
    return this.#ts.length === 0;
  }
}

/** Tracks by the ids of their fields or sensors. */
export type Tracks = ReadonlyMap<string, Track>;

export interface DayQuery {
  readonly farm: string;
  readonly metric: string;
  readonly from: number;
  readonly to: number;
}

/** Tracks are told in lots: each makes the plan anew. */
const LOT = 50;
/** A thousand sensors that wait for their turn at once would be in front of every chart that is opened meanwhile. */
const AT_ONCE = 3;

/**
 * Reads the day of fields, or of sensors, a few at a time. `came` is told all that are there so far, after each lot and
 * at the end. Rejects with ApiProblem.
 */
export async function loadDay(
  { farm, metric, from, to }: DayQuery,
  of: 'field' | 'sensor',
  ids: readonly string[],
  signal: AbortSignal,
  came: (tracks: Tracks) => void,
): Promise<void> {
  const points = Math.ceil((to - from) / STEP_MS) + 2;
  const tracks = new Map<string, Track>();
  const few = pLimit(AT_ONCE);
  const read = async (id: string) => {
    signal.throwIfAborted();
    const { rows } = await inTurn(() => getHistory({ farm, [of]: id, metric, from, to, points }, signal), signal);
    tracks.set(id, new Track(rows));
    if (tracks.size % LOT === 0 || tracks.size === ids.length) came(new Map(tracks));
  };
  if (ids.length === 0) came(tracks);
  await Promise.all(ids.map((id) => few(() => read(id))));
}
