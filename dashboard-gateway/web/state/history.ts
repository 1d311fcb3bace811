import { effect, type ReadonlySignal, signal } from '@preact/signals';
import { getHistory } from '../api/gateway.ts';
import { gatewayNow } from '../api/http.ts';
import type { ApiProblem } from '../api/problem.ts';
import { RANGES, type RangeId } from '../chart/ranges.ts';
import { Series } from '../chart/series.ts';
import type { Row } from '../live/messages.ts';
import { untilDone } from './retry.ts';
import { breaks, onRow, sensors } from './sensors.ts';

export interface Subject {
  readonly farm: string;
  readonly sensor: string;
  readonly metric: string;
  readonly range: RangeId;
}

/** A series on screen: `version` changes with its content. */
export interface OpenSeries {
  readonly series: ReadonlySignal<Series | undefined>;
  readonly version: ReadonlySignal<number>;
  /** Why the history is not there, if it is not; `again` when it is tried again by itself. */
  readonly problem: ReadonlySignal<{ problem: ApiProblem; again: boolean } | undefined>;
  close(): void;
}

/** Rows kept while a fetch is under way. Should more arrive, the oldest go: they are the likeliest to be in the answer. */
const MAX_PENDING = 2000;
const AHEAD_MS = 60_000;

/** Fetches a series and keeps it growing with live rows; fetches it again after a gap. */
export function openSeries({ farm, sensor, metric, range }: Subject): OpenSeries {
  const { ms, bucketMs } = RANGES[range];
  const series = signal<Series | undefined>(undefined);
  const version = signal(0);
  const problem = signal<{ problem: ApiProblem; again: boolean } | undefined>(undefined);
  let fetching = new AbortController();
  let pending: Row[] = [];

  const fetchAll = () => {
    fetching.abort();
    fetching = new AbortController();
    const { signal } = fetching;
    pending = [];
    const work = async () => {
      const now = Math.round(gatewayNow());
      // The end lies a little ahead for sensors whose clocks do; the two extra points are for buckets that the borders cut.
      const span = { from: now - ms, to: now + AHEAD_MS, points: Math.ceil((ms + AHEAD_MS) / bucketMs) + 2 };
      const answer = await getHistory({ farm, sensor, metric, ...span }, signal);
      if (signal.aborted) return;
      const loaded = new Series(answer.bucketMs, answer.rows);
      // Rows of the meantime may be in the answer already: folding them in again moves no minimum, maximum or last value.
      for (const row of pending) loaded.fold(row);
      pending = [];
      series.value = addLatest(loaded, sensor, metric);
      problem.value = undefined;
      version.value++;
    };
    const onProblem = (found: ApiProblem, again: boolean) => {
      problem.value = { problem: found, again };
      // Without a history the chart begins with what arrives from now on.
      series.value ??= addLatest(new Series(bucketMs, []), sensor, metric);
      version.value++;
    };
    void untilDone(work, { signal, onProblem });
  };

  const endRows = onRow((row) => {
    if (row.sensor !== sensor || row.metric !== metric) return;
    if (pending.push(row) > MAX_PENDING) pending.shift();
    if (row.ts < gatewayNow() - ms || series.value === undefined) return;
    series.value.fold(row);
    version.value++;
  });
  const endBreaks = effect(() => {
    breaks.value;
    fetchAll();
  });

  const close = () => {
    endRows();
    endBreaks();
    fetching.abort();
  };
  return { series, version, problem, close };
}

/** A value is announced before the store has it, so the newest one on screen may be missing in the history. */
function addLatest(series: Series, sensor: string, metric: string): Series {
  const measured = sensors.peek().get(sensor)?.peek().values.get(metric);
  if (measured === undefined) return series;
  const [ts, last] = measured;
  const newest = series.extent();
  if (newest === undefined || ts >= newest.lastTs + series.bucketMs) {
    series.fold({ ts, last, min: last, max: last, mean: last, count: 1 });
  }
  return series;
}
