import type { DayRun } from '../../telemetry/calendar.ts';
import type { ExportQuery, HistoryQuery } from '../ports/store.ts';
import type { TimeRange } from '../ports/store-checks.ts';

/** InfluxQL statements. Every name and every string in them goes through `name` or `text`. */

export const MEASUREMENT = 'readings';
export const RECEIVED = 'received';

/** A quoted identifier. */
export function name(identifier: string): string {
  return `"${identifier.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}

/** A string literal. */
export function text(literal: string): string {
  return `'${literal.replace(/[\\']/g, '\\$&').replaceAll('\n', '\\n')}'`;
}

/** Cheap for the server, and fails when the database is missing or this user has no right to it; not every SHOW does. */
export const FIELD_KEYS = `SHOW FIELD KEYS FROM ${name(MEASUREMENT)}`;
/** The sensors of a farm that have ever had a value, as rows of key and value. */
export function sensorsOf(farm: string): string {
  return `SHOW TAG VALUES FROM ${name(MEASUREMENT)} WITH KEY = "sensor" WHERE "farm" = ${text(farm)}`;
}

/**
 * The newest value of one metric, in a range, of every sensor of a farm, or of some, with its time and its time of receipt.
 */
export function newest(farm: string, metric: string, range: TimeRange, sensors?: readonly string[]): string {
  const whose = sensors ? ` AND ${anyOf(sensors)}` : '';
  const where = `WHERE "farm" = ${text(farm)}${whose} AND ${within(range)}`;
  return `SELECT last(${name(metric)}) AS "last", ${name(RECEIVED)} FROM ${name(MEASUREMENT)} ${where} GROUP BY "sensor"`;
}

/** The first, or the last, value of a range. */
export function end(query: HistoryQuery, which: 'first' | 'last', range: TimeRange): string {
  return `SELECT ${which}(${name(query.metric)}) ${from(query, range)}`;
}

/** Part of a range, and the buckets it is cut into: `width` ms wide, one begins at `begin`. */
export interface RangeCut extends TimeRange {
  readonly width: number;
  readonly begin: number;
}

/** The runs of equal days within a range, each as a cut of its own. */
export function cutsOf(runs: readonly DayRun[], range: TimeRange): RangeCut[] {
  return runs.map(({ from, length, count }) => ({
    from: Math.max(from, range.from),
    to: Math.min(from + count * length, range.to),
    width: length,
    begin: from,
  }));
}

/** How the means of sensors are asked for. */
export type MeanForm = 'plain' | 'scaled' | 'circle';

export const SCALE = 2 ** 30;

/**
 * Two statements. The first gives buckets with columns last, min, max, count, received; in a bucket with values of
 * other metrics only, all but `received` are null. The second gives of each sensor the mean of each bucket that has one:
 * divided by `SCALE` when `form` is that, for values so large that their sum is infinite; or east and north of directions.
 * (A single statement would have to ask each sensor for everything, which is five times as slow.)
 */
export function history(query: HistoryQuery, cut: RangeCut, form: MeanForm): string[] {
  return [ends(query, cut), meansOf(query, cut, form)];
}

function meansOf(query: HistoryQuery, cut: RangeCut, form: MeanForm): string {
  const metric = name(query.metric);
  if (form === 'plain') return `SELECT mean(${metric}) ${from(query, cut)} ${by(cut, 'sensor')}`;
  const angle = `${metric} * ${Math.PI / 180}`;
  const [parts, means] =
    form === 'scaled'
      ? [`${metric} / ${SCALE} AS "small"`, 'mean("small")']
      : [`sin(${angle}) AS "east", cos(${angle}) AS "north"`, 'mean("east"), mean("north")'];
  const inner = `SELECT ${parts} ${from(query, cut)}`;
  return `SELECT ${means} FROM (${inner}) WHERE ${within(cut)} ${by(cut, 'sensor')}`;
}

/** The last value of each sensor in a range, with its time. */
export function lastOf(query: HistoryQuery, range: TimeRange): string {
  return `SELECT last(${name(query.metric)}) ${from(query, range)} GROUP BY "sensor"`;
}

/**
 * Three statements, which tell of each sensor what its last value in each bucket is, and when that was: these values, the first
 * time of all, and how many microseconds the times of each bucket are after the one before them, together. (InfluxDB gives a
 * value's own time only where it does not group by time.)
 */
export function lasts(query: HistoryQuery, cut: RangeCut): string[] {
  const metric = name(query.metric);
  const source = from(query, cut);
  const gaps = `SELECT elapsed(${metric}, 1u) AS "gap" ${source} GROUP BY "sensor"`;
  return [
    `SELECT last(${metric}) ${source} ${by(cut, 'sensor')}`,
    `SELECT first(${metric}) ${source} GROUP BY "sensor"`,
    `SELECT sum("gap") FROM (${gaps}) WHERE ${within(cut)} ${by(cut, 'sensor')}`,
  ];
}

/** Points in order of time with columns sensor, received and one column per metric, null where a point has no such value. */
export function points(query: ExportQuery, metrics: readonly string[], range: TimeRange): string {
  return `SELECT "sensor", ${name(RECEIVED)}, ${metrics.map(name).join(', ')} ${from(query, range)}`;
}

function ends(query: HistoryQuery, cut: RangeCut): string {
  const aggregates = ['last', 'min', 'max', 'count'].map((aggregate) => `${aggregate}(${name(query.metric)})`);
  return `SELECT ${aggregates.join(', ')}, max(${name(RECEIVED)}) ${from(query, cut)} ${by(cut)}`;
}

function from({ farm, sensors }: { farm: string; sensors: readonly string[] }, range: TimeRange): string {
  return `FROM ${name(MEASUREMENT)} WHERE "farm" = ${text(farm)} AND ${anyOf(sensors)} AND ${within(range)}`;
}

function within({ from, to }: TimeRange): string {
  return `time >= ${from}ms AND time < ${to}ms`;
}

function anyOf(sensors: readonly string[]): string {
  return `(${sensors.map((sensor) => `"sensor" = ${text(sensor)}`).join(' OR ')})`;
}

function by({ width, begin }: RangeCut, ...tags: readonly string[]): string {
  return `GROUP BY ${[`time(${width}ms, ${begin % width}ms)`, ...tags.map(name)].join(', ')} fill(none)`;
}
