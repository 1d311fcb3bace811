import { meanKindOf } from '../../telemetry/field-value.ts';
import type { HistoryQuery } from '../ports/store.ts';

/** Statements about buckets of several sensors: the definition of `telemetry/field-value.ts` as SQL. */

export interface Statement {
  readonly sql: string;
  readonly values: (string | bigint)[];
}

/** The bucket of what was measured before the range, and is only held. */
const BEFORE = -1;
const NO_END = 2n ** 62n;

/**
 * A row for each sensor and bucket: bucket (its begin, microseconds), sensor, newest, last, low, high, own, size,
 * received. `points` has sensor, micros, value and received, and what the expression `bucket` needs. Of values of the
 * same instant the greatest counts as the last, as in InfluxDB.
 */
export function ofSensors(query: HistoryQuery, bucket: string, points: string): string {
  const at = query.held ? `CASE WHEN micros < ${query.from * 1000} THEN ${BEFORE} ELSE ${bucket} END` : bucket;
  return `
    SELECT ${at} AS bucket, sensor,
      max(micros) AS newest, arg_max(value, (micros, value)) AS last, min(value) AS low, max(value) AS high,
      ${mean(query, 'value')} AS own, count(*) AS size, max(received) AS received
    FROM (${points}) GROUP BY bucket, sensor`;
}

/** The buckets in order of time of the rows of `ofSensors`: ts, last, min, max, mean, count, received. */
export function withField(query: HistoryQuery, { sql, values }: Statement): Statement {
  const { held } = query;
  const columns = 'arg_max(last, (newest, last)) AS last, min(low) AS low, max(high) AS high';
  const sizes = 'sum(size) AS size, max(received) AS received';
  if (held === undefined || held.length === 0) {
    const whole = `bucket // 1000, ${columns}, ${mean(query, 'own')}, ${sizes}`;
    return { sql: `SELECT ${whole} FROM (${sql}) GROUP BY bucket ORDER BY bucket`, values };
  }
  const spans = held.map(([, ms]) => `(?, ${Math.ceil(ms * 1000)}::BIGINT)`).join(',');
  return {
    sql: `
      WITH own AS MATERIALIZED (${sql}),
      whole AS MATERIALIZED (
        SELECT bucket, ${columns}, ${sizes} FROM own WHERE bucket <> ${BEFORE} GROUP BY bucket
      ),
      spans(sensor, span) AS (VALUES ${spans}),
      ends AS (
        SELECT sensor, bucket, last, newest + span AS until,
          coalesce(lead(bucket) OVER (PARTITION BY sensor ORDER BY bucket), ${NO_END}) AS next
        FROM own JOIN spans USING (sensor)
      ),
      said AS (
        SELECT bucket, own AS value FROM own WHERE bucket <> ${BEFORE}
        UNION ALL
        SELECT whole.bucket, ends.last FROM whole
        JOIN ends ON whole.bucket > ends.bucket AND whole.bucket < least(ends.next, ends.until)
        WHERE ends.until > ${query.from * 1000}
      ),
      field AS (SELECT bucket, ${mean(query, 'value')} AS value FROM said GROUP BY bucket)
      SELECT bucket // 1000, last, low, high, value, size, received
      FROM whole JOIN field USING (bucket) ORDER BY bucket`,
    values: [...values, ...held.map(([sensor]) => sensor)],
  };
}

/** When the sum of huge values is infinite, the mean is computed from values divided by 2^30. */
function mean({ metric }: HistoryQuery, column: string): string {
  if (meanKindOf(metric) === 'circle') {
    const direction = `degrees(atan2(avg(sin(radians(${column}))), avg(cos(radians(${column})))))`;
    return `(${direction} + 360) % 360`;
  }
  return `CASE WHEN isfinite(avg(${column})) THEN avg(${column}) ELSE avg(${column} / 1073741824) * 1073741824 END`;
}
