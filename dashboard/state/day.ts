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

export interface DayQuery {
  readonly farm: string;
  readonly metric: string;
  readonly from: number;
  readonly to: number;
  readonly sensors: readonly string[];
}

/** Reads the day of every sensor. `progress` is told how many are there; rejects with ApiProblem. */
export async function loadDay(
  { farm, metric, from, to, sensors }: DayQuery,
  signal: AbortSignal,
  progress: (done: number) => void,
): Promise<Map<string, Track>> {
  const points = Math.ceil((to - from) / STEP_MS) + 2;
  let done = 0;
  const read = async (sensor: string) => {
    const { rows } = await inTurn(() => getHistory({ farm, sensor, metric, from, to, points }, signal), signal);
    progress(++done);
    return [sensor, new Track(rows)] as const;
  };
  return new Map(await Promise.all(sensors.map(read)));
}
