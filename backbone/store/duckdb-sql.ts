import type { DayRun } from '../../telemetry/calendar.ts';
import type { ExportQuery, HistoryQuery } from './port.ts';

/** The statements that the store's thread runs. A value is written twice or corrected by a later row: the highest `rowid` counts. */

export const TABLE = 'readings';

export const CREATE = `
  CREATE TABLE IF NOT EXISTS ${TABLE} (
    farm VARCHAR NOT NULL, sensor VARCHAR NOT NULL, metric VARCHAR NOT NULL,
    ts BIGINT NOT NULL, value DOUBLE NOT NULL, received BIGINT NOT NULL
  )`;

/** The newest value of everything: farm, sensor, metric, ts, value, received. */
export const NEWEST = `
  SELECT farm, sensor, metric, max(ts), arg_max(value, (ts, rowid)), arg_max(received, (ts, rowid))
  FROM ${TABLE} GROUP BY farm, sensor, metric`;

export interface Statement {
  readonly sql: string;
  readonly values: (string | bigint)[];
}

type Selection = Pick<ExportQuery, 'farm' | 'sensors' | 'metrics' | 'from' | 'to'>;

/** The oldest and the newest time of what is selected; both are null when nothing is. */
export function extent(selection: Selection): Statement {
  const { sql, values } = where(selection);
  return { sql: `SELECT min(ts), max(ts) FROM ${TABLE} ${sql}`, values };
}

/** Buckets of equal width in order of time: ts, last, min, max, mean, count, received. */
export function fixedHistory(query: HistoryQuery, width: number): Statement {
  const points = deduplicated(query);
  return {
    sql: `SELECT ts - ts % ${width} AS bucket, ${AGGREGATES} FROM (${points.sql}) GROUP BY bucket ORDER BY bucket`,
    values: points.values,
  };
}

/** Buckets that are the days of `runs`, in order of time: ts, last, min, max, mean, count, received. */
export function dailyHistory(query: HistoryQuery, runs: readonly DayRun[]): Statement {
  const points = deduplicated(query);
  const rows = runs.map(({ from, length }) => `(${from}::BIGINT, ${length}::BIGINT)`).join(',');
  return {
    sql: `
      SELECT runs.begin + (ts - runs.begin) // runs.length * runs.length AS bucket, ${AGGREGATES}
      FROM (${points.sql}) AS points ASOF JOIN (VALUES ${rows}) AS runs(begin, length) ON points.ts >= runs.begin
      GROUP BY bucket ORDER BY bucket`,
    values: points.values,
  };
}

/** Values in order of time: sensor, metric, ts, value, received. */
export function exported(query: ExportQuery): Statement {
  const { sql, values } = where(query);
  return {
    sql: `
      SELECT sensor, metric, ts, arg_max(value, rowid), arg_max(received, rowid)
      FROM ${TABLE} ${sql} GROUP BY sensor, metric, ts ORDER BY ts, sensor, metric`,
    values,
  };
}

// Of values measured in the same ms the greatest is the last, as InfluxDB has it.
// The mean of huge values is taken from smaller ones, so that their sum stays finite.
const AGGREGATES = `
  arg_max(value, (ts, value)), min(value), max(value),
  CASE WHEN isfinite(avg(value)) THEN avg(value) ELSE avg(value / 1073741824) * 1073741824 END, count(*), max(received)`;

function deduplicated(query: HistoryQuery): Statement {
  const { sql, values } = where({ ...query, metrics: [query.metric] });
  return {
    sql: `SELECT ts, arg_max(value, rowid) AS value, arg_max(received, rowid) AS received FROM ${TABLE} ${sql} GROUP BY sensor, ts`,
    values,
  };
}

function where({ farm, sensors, metrics, from, to }: Selection): Statement {
  const clauses = ['farm = ?', `sensor IN (${places(sensors)})`, 'ts >= ?', 'ts < ?'];
  const values = [farm, ...sensors, BigInt(from), BigInt(to)];
  if (metrics !== undefined) {
    clauses.push(`metric IN (${places(metrics)})`);
    values.push(...metrics);
  }
  return { sql: `WHERE ${clauses.join(' AND ')}`, values };
}

function places(list: readonly unknown[]): string {
  return list.map(() => '?').join(',');
}
