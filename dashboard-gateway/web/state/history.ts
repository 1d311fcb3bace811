import { type ReadonlySignal, signal } from '@preact/signals';
import { LiveSeries } from '../../client/live-series.ts';
import type { Series } from '../../client/series.ts';
import { getHistory } from '../api/gateway.ts';
import { gatewayNow } from '../api/http.ts';
import { type ApiProblem, asProblem } from '../api/problem.ts';
import { RANGES, type RangeId } from '../chart/ranges.ts';
import { live, sensors } from './sensors.ts';

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

const AHEAD_MS = 60_000;

/** Fetches a series and keeps it growing with live rows; fetches it again after a gap. */
export function openSeries({ farm, sensor, metric, range }: Subject): OpenSeries {
  const { ms, bucketMs } = RANGES[range];
  const series = signal<Series | undefined>(undefined);
  const version = signal(0);
  const problem = signal<{ problem: ApiProblem; again: boolean } | undefined>(undefined);
  const open = new LiveSeries({
    client: live,
    accepts: (row) => row.sensor === sensor && row.metric === metric,
    // The end lies a little ahead for sensors whose clocks do; the two extra points are for buckets that the borders cut.
    span: () => {
      const now = Math.round(gatewayNow());
      return { from: now - ms, to: now + AHEAD_MS, points: Math.ceil((ms + AHEAD_MS) / bucketMs) + 2 };
    },
    fetch: async (span, signal) => {
      const answer = await getHistory({ farm, sensor, metric, ...span }, signal);
      problem.value = undefined;
      return answer;
    },
    mayPass: (error) => asProblem(error).passing,
    onProblem: (error, again) => {
      problem.value = { problem: asProblem(error), again };
    },
    onChange: () => {
      series.value = open.series;
      addLatest(open.series, sensor, metric);
      version.value++;
    },
  });
  return { series, version, problem, close: () => open.close() };
}

/** A value is announced before the store has it, so the newest one on screen may be missing in the history. */
function addLatest(series: Series | undefined, sensor: string, metric: string): void {
  const measured = sensors.peek().get(sensor)?.peek().values.get(metric);
  if (measured === undefined || series === undefined) return;
  const [ts, last] = measured;
  const newest = series.extent();
  if (newest === undefined || ts >= newest.lastTs + series.bucketMs) {
    series.fold({ ts, last, min: last, max: last, mean: last, count: 1 });
  }
}
