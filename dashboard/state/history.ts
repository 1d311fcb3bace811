import { type ReadonlySignal, signal } from '@preact/signals';
import { LiveSeries } from '../../client/live-series.ts';
import type { HeldValue, Series } from '../../client/series.ts';
import { heldFor, isHeld, meanKindOf } from '../../telemetry/field-value.ts';
import { getHistory } from '../api/gateway.ts';
import { gatewayNow } from '../api/gateway-clock.ts';
import { type ApiProblem, asProblem } from '../api/problem.ts';
import { type ChartRange, spanOf } from '../chart/ranges.ts';
import { fields } from './fields.ts';
import { inTurn } from './in-turn.ts';
import { intervalOf, live, sensors } from './sensors.ts';

/** One sensor's values of a metric, or all of a field's together. */
export type HistorySubject = {
  readonly farm: string;
  readonly metric: string;
  readonly range: ChartRange;
} & ({ readonly sensor: string } | { readonly field: string });

/** A series on screen: `version` changes with its content. */
export interface OpenSeries {
  readonly series: ReadonlySignal<Series | undefined>;
  readonly version: ReadonlySignal<number>;
  /** Why the history is not there, if it is not; `again` when it is tried again by itself. */
  readonly problem: ReadonlySignal<{ problem: ApiProblem; again: boolean } | undefined>;
  close(): void;
}

/** Fetches a series and keeps it growing with live rows; fetches it again after a gap. */
export function openSeries(subject: HistorySubject): OpenSeries {
  const { farm, metric, range } = subject;
  const of = 'sensor' in subject ? { sensor: subject.sensor } : { field: subject.field };
  const series = signal<Series | undefined>(undefined);
  const version = signal(0);
  const problem = signal<{ problem: ApiProblem; again: boolean } | undefined>(undefined);
  const open = new LiveSeries({
    client: live,
    accepts: (row, field) => row.metric === metric && ('sensor' in of ? row.sensor === of.sensor : field === of.field),
    several: 'field' in of,
    directions: meanKindOf(metric) === 'circle',
    heldAt: (begin) => ('field' in of ? heldIn(of.field, metric, begin) : []),
    span: () => spanOf(range, gatewayNow()),
    now: gatewayNow,
    fetch: async (span, signal) => {
      const answer = await inTurn(() => getHistory({ farm, ...of, metric, ...span }, signal), signal);
      problem.value = undefined;
      return answer;
    },
    mayPass: (error) => asProblem(error).passing,
    onProblem: (error, again) => {
      problem.value = { problem: asProblem(error), again };
    },
    onChange: () => {
      if ('sensor' in of && 'last' in range) addLatest(open.series, of.sensor, metric);
      series.value = open.series;
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

/** What the sensors of a field say in a bucket that begins at `begin`, those that have measured nothing since. */
function heldIn(field: string, metric: string, begin: number): HeldValue[] {
  const ids = fields.peek().find(({ id }) => id === field)?.sensors ?? [];
  return ids.flatMap((sensor) => {
    const [ts, value] = sensors.peek().get(sensor)?.peek().values.get(metric) ?? [];
    if (ts === undefined || value === undefined || ts >= begin) return [];
    return isHeld(ts, begin, heldFor(intervalOf(sensor))) ? [{ sensor, value }] : [];
  });
}
