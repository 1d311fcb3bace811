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

/**
 * Two statements. The first gives buckets with columns last, min, max, count, received; in a bucket with values of
 * other metrics only, all but `received` are null. The second gives the mean of each bucket that has one. (A single
 * statement would have to ask each sensor for everything, which is five times as slow.)
 */
export function history(query: HistoryQuery, cut: RangeCut): string[] {
  const mean = `SELECT mean(${name(query.metric)})`;
  const source = from(query, cut);
  const means =
    query.sensors.length === 1 ? `${mean} ${source} ${by(cut)}` : meanOfMeans(`${mean} AS "own" ${source}`, cut);
  return [ends(query, cut), means];
}

/** As `history`, for values so large that their sum is infinite: the second statement gives each mean divided by `SHRINK`. */
export function historyScaled(query: HistoryQuery, cut: RangeCut): string[] {
  const small = `SELECT ${name(query.metric)} / ${SCALE} AS "small" ${from(query, cut)}`;
  const time = `WHERE time >= ${cut.from}ms AND time < ${cut.to}ms`;
  return [ends(query, cut), meanOfMeans(`SELECT mean("small") AS "own" FROM (${small}) ${time}`, cut)];
}

export const SCALE = 2 ** 30;

/** `own` is a statement that selects a column "own": the mean of one sensor in a bucket. */
function meanOfMeans(own: string, cut: RangeCut): string {
  // The time of an inner row is its bucket's begin, which may be before the range.
  const first = cut.from - ((cut.from - cut.begin) % cut.width);
  const time = `WHERE time >= ${first}ms AND time < ${cut.to}ms`;
  return `SELECT mean("own") FROM (${own} ${by(cut, 'sensor')}) ${time} ${by(cut)}`;
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
