import type { DayRun } from '../../telemetry/calendar.ts';
import type { ExportQuery, HistoryQuery } from '../ports/store.ts';
import { longestHeld } from '../ports/store-checks.ts';
import { ofSensors, type Statement, withField } from './field-sql.ts';
import type { KeptPlace } from './protocol.ts';

/**
 * Statements of the database's process. A value written twice or corrected has several rows: the highest `rowid` counts.
 * A column `ts` holds whole ms. In results an instant is told in whole microseconds, as one number: that is the same
 * work for the database as ms were, and a pair of numbers would be more.
 */

export const TABLE = 'readings';

export const CREATE = `
  CREATE TABLE IF NOT EXISTS ${TABLE} (
    farm VARCHAR NOT NULL, sensor VARCHAR NOT NULL, metric VARCHAR NOT NULL,
    ts BIGINT NOT NULL, value DOUBLE NOT NULL, received BIGINT NOT NULL, sub SMALLINT DEFAULT 0
  )`;

/**
 * Files of the last version lack the column `sub`, the count of an instant within its millisecond: all their times are
 * whole ms. It stands behind the others in every file, because the appender takes columns by their place.
 */
export const ADD_SUB = `ALTER TABLE ${TABLE} ADD COLUMN IF NOT EXISTS sub SMALLINT DEFAULT 0`;

/** One row: the place in the live log that the newest checkpoint was taken at, and when (Unix ms). */
const PLACE = 'live_log_place';
export const CREATE_PLACE = `
  CREATE TABLE IF NOT EXISTS ${PLACE} (epoch VARCHAR NOT NULL, "offset" BIGINT NOT NULL, taken BIGINT NOT NULL)`;
/** The names of those tables of a file that tell what made it: the last version made no places. */
export const FIND_TABLES = `SELECT table_name FROM duckdb_tables() WHERE table_name IN ('${TABLE}', '${PLACE}')`;
export const FIND_PLACE = `SELECT epoch, "offset", taken FROM ${PLACE}`;

/** Statements of one transaction. */
export function keepPlace({ epoch, offset, taken }: KeptPlace): { clear: string; insert: Statement } {
  return {
    clear: `DELETE FROM ${PLACE}`,
    insert: { sql: `INSERT INTO ${PLACE} VALUES (?, ?, ?)`, values: [epoch, BigInt(offset), BigInt(taken)] },
  };
}

/** The instant of a row in microseconds. */
const MICROS = 'ts * 1000 + sub';

/**
 * The newest value of each metric of each sensor: farm, sensor, metric, instant (microseconds), value, received. One
 * after `latest` (Unix ms) only where there is no other.
 */
export function newest(latest: number): Statement {
  const order = `(ts <= ${Math.floor(latest)}, ${MICROS}, rowid)`;
  return {
    sql: `
      SELECT farm, sensor, metric, arg_max(${MICROS}, ${order}), arg_max(value, ${order}), arg_max(received, ${order})
      FROM ${TABLE} GROUP BY farm, sensor, metric`,
    values: [],
  };
}

type Selection = Pick<ExportQuery, 'farm' | 'sensors' | 'metrics' | 'from' | 'to'>;

/** The oldest and the newest time of the selected values, whole ms; both are null when there are none. */
export function extent(selection: Selection): Statement {
  const { sql, values } = where(selection);
  return { sql: `SELECT min(ts), max(ts) FROM ${TABLE} ${sql}`, values };
}

/** Buckets of equal width in order of time: ts, last, min, max, mean, count, received. */
export function fixedHistory(query: HistoryQuery, width: number): Statement {
  const { sql, values } = deduplicated(query);
  return withField(query, { sql: ofSensors(query, `micros - micros % ${width * 1000}`, sql), values });
}

/** Buckets of the days, or groups of days, of `runs`, in order of time: ts, last, min, max, mean, count, received. */
export function dailyHistory(query: HistoryQuery, runs: readonly DayRun[]): Statement {
  const { sql, values } = deduplicated(query);
  // Values before the first day, which are held, are of no run.
  const rows = [{ from: 0, length: 1 }, ...runs]
    .map(({ from, length }) => `(${from * 1000}::BIGINT, ${length * 1000}::BIGINT)`)
    .join(',');
  const points = `(${sql}) AS points ASOF JOIN (VALUES ${rows}) AS runs(start, width) ON points.micros >= runs.start`;
  const bucket = 'start + (micros - start) // width * width';
  return withField(query, { sql: ofSensors(query, bucket, `SELECT * FROM ${points}`), values });
}

/** Values in order of time: sensor, metric, instant (microseconds), value, received. */
export function exported(query: ExportQuery): Statement {
  const { sql, values } = where(query);
  return {
    sql: `
      SELECT sensor, metric, ${MICROS} AS micros, arg_max(value, rowid), arg_max(received, rowid)
      FROM ${TABLE} ${sql} GROUP BY sensor, metric, micros ORDER BY micros, sensor, metric`,
    values,
  };
}

function deduplicated(query: HistoryQuery): Statement {
  const from = query.from - longestHeld(query);
  const { sql, values } = where({ ...query, from, metrics: [query.metric] });
  return {
    sql: `SELECT sensor, ${MICROS} AS micros, arg_max(value, rowid) AS value, arg_max(received, rowid) AS received FROM ${TABLE} ${sql} GROUP BY sensor, micros`,
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
