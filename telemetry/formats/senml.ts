import { instant, instantOfMicros, msOf, subOf } from '../instant.ts';
import { type Draft, type FoundReadings, NOTHING, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { metricName } from './metric-name.ts';
import { MAX_READINGS } from './native.ts';
import { resolveSenml, type SenmlRecord } from './senml-records.ts';
import { unitMetric } from './senml-units.ts';
import { canBeTold } from './times.ts';
import { Values } from './values.ts';

const FIELDS: ReadonlySet<string> = new Set([
  'bn',
  'bt',
  'bu',
  'bv',
  'bs',
  'bver',
  'n',
  'u',
  'v',
  'vs',
  'vb',
  'vd',
  's',
  't',
  'ut',
]);

/** Whether a payload on the native topic is a SenML pack: an array whose first record has nothing but SenML's fields. */
export function isSenml(payload: unknown): boolean {
  const first: unknown = Array.isArray(payload) ? payload[0] : undefined;
  if (!isObject(first)) return false;
  const keys = Object.keys(first);
  return keys.length > 0 && !('ts' in first) && keys.every((key) => FIELDS.has(key) || key.endsWith('_'));
}

/**
 * The readings in a SenML pack in JSON (RFC 8428): records of one time are one reading. The metric is the last part of
 * a record's name. Where that part names the device, the metric is what the unit measures.
 */
export function takeSenml(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  if (!Array.isArray(payload)) return NOTHING;
  if (payload.length > MAX_READINGS) {
    const rest = payload.length - MAX_READINGS;
    refusals.add('too_many_readings', `$[${MAX_READINGS}]`, `${rest} records too many: ${MAX_READINGS} are taken`);
  }
  const records = resolveSenml(payload.slice(0, MAX_READINGS), msOf(context.received) / 1000, refusals);
  const { clock } = context.rules;
  const readings = new Map<number | undefined, { draft: Draft; values: Values }>();
  let skipped = 0;
  for (const record of records) {
    const at = timeOf(record, context.received);
    if (at !== undefined && clock.by === 'device' && !canBeTold(at, clock)) {
      refusals.add('bad_time', `${record.path}.t`, 'it is no time of the years 2000 to 2199');
      continue;
    }
    const known = readings.get(at);
    const values = known?.values ?? new Values(context.rules, refusals, '$');
    if (!known) {
      const draft = { at, path: record.path, values: values.live, ofReceipt: record.isRelative };
      readings.set(at, { values, draft });
    }
    if (!takeRecord(record, values, refusals)) skipped += 1;
  }
  const drafts = [...readings.values()].filter(({ values }) => values.result !== undefined).map(({ draft }) => draft);
  return { drafts, skipped };
}

/**
 * When a record was measured; undefined when it does not say. A time relative to the receipt keeps the count of the
 * receipt: otherwise those of two publishes of one millisecond would be the same.
 */
function timeOf({ time, isRelative }: SenmlRecord, received: number): number | undefined {
  if (time === undefined) return undefined;
  // The time may be a sum of seconds, which is off by a little: without rounding, one in ten would be a millisecond early.
  const ms = msOf(instantOfMicros(Math.round(time * 1_000_000)));
  return isRelative ? instant(ms, subOf(received)) : ms;
}

/** Takes one record. False when it has neither a number nor a boolean nor a sum. */
function takeRecord(record: SenmlRecord, values: Values, refusals: Refusals): boolean {
  const { value, flag, sum, path } = record;
  const number = value ?? (flag === undefined ? undefined : Number(flag));
  if (number === undefined && sum === undefined) return false;
  const metric = metricOf(record);
  if (metric === undefined) {
    refusals.add('bad_name', path, 'neither its name nor its unit says what it measures');
    return true;
  }
  // An unknown unit must not count as the metric's own: a metric that has a unit refuses it.
  const unit = flag === undefined && record.unit !== '' ? record.unit : undefined;
  if (number !== undefined) values.add(metric, number, unit, () => path);
  if (sum !== undefined) values.add(`${metric}_sum`, sum, undefined, () => path);
  return true;
}

function metricOf({ name, unit }: SenmlRecord): string | undefined {
  const last = name.split(/[:/]/).at(-1) ?? '';
  // A device's address, 8 or more hex digits, is no metric.
  const isAddress = /^[0-9a-f]{8,}$/i.test(last);
  const own = isAddress ? undefined : metricName(last);
  return own ?? (unit === undefined ? undefined : unitMetric(unit));
}
