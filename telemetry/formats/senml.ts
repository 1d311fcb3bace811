import { instant, instantOfMicros, msOf, subOf } from '../instant.ts';
import { type Draft, type FoundReadings, NOTHING, type PayloadContext, quote, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { metricName } from './metric-name.ts';
import { MAX_READINGS } from './native.ts';
import { isAddress, lastPart, resolveSenml, type SenmlRecord } from './senml-records.ts';
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

/** With a name and one of these, a record is SenML's whatever else it has; with one of the others it is Loam's own. */
const VALUES = ['v', 'vs', 'vb', 'vd', 's', 'bv', 'bs', 'bn'] as const;
const NATIVE = ['ts', 'timestamp', 'time', 'values'] as const;

/**
 * Whether a payload on the native topic is a SenML pack: an array whose first record has nothing but SenML's fields, or
 * has some of them beside fields of an extension, which are ignored (RFC 8428, section 4.4).
 */
export function isSenml(payload: unknown): boolean {
  const first: unknown = Array.isArray(payload) ? payload[0] : undefined;
  if (!isObject(first)) return false;
  const has = (key: string) => Object.hasOwn(first, key);
  if (NATIVE.some(has)) return false;
  const keys = Object.keys(first);
  if (keys.length > 0 && keys.every((key) => FIELDS.has(key) || key.endsWith('_'))) return true;
  const isNamed = typeof first.bn === 'string' || typeof first.n === 'string';
  return isNamed && VALUES.some(has);
}

/**
 * The readings in a SenML pack in JSON (RFC 8428): records of one time are one reading. The metric is the last part of
 * a record's name. Where that part names the device, the metric is what the unit measures.
 *
 * A pack is of the sensor that its topic names, whatever device its records name. Where it names several, records of another
 * address are refused, and other base names are part of the metric's name: `soil/` and `air/` are parts of one device.
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
  const hasSeveral = new Set(records.map(({ device }) => device)).size > 1;
  let skipped = 0;
  for (const record of records) {
    const part = hasSeveral ? partOf(record, context.sensor) : '';
    if (part === undefined) {
      const explanation = `the pack names several devices, and ${quote(record.device)} is not ${context.sensor}: a bridge publishes the records of each device to its own topic`;
      refusals.add('other_device', record.path, explanation);
      continue;
    }
    const at = timeOf(record, context.received);
    if (at !== undefined && clock.by === 'device' && !canBeTold(at, clock)) {
      refusals.add('bad_time', `${record.path}.t`, 'it is no time of the years 2000 to 2199');
      continue;
    }
    const known = readings.get(at);
    const values = known?.values ?? new Values(context.rules, refusals, '$');
    values.joinedByOthers();
    if (!known) {
      const draft = { at, path: record.path, values: values.live, ofReceipt: record.isRelative };
      readings.set(at, { values, draft });
    }
    if (!takeRecord(record, part, values, refusals)) skipped += 1;
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

/**
 * What a record's metric is named by, of a pack that names several devices: nothing for what is the sensor's own or nobody's;
 * undefined when it is another device's.
 */
function partOf({ device }: SenmlRecord, sensor: string): string | undefined {
  const last = lastPart(device);
  const isOwn = [device, last].some((name) => plain(name) === plain(sensor));
  if (device === '' || isOwn) return '';
  return isAddress(last) ? undefined : `${last}_`;
}

/** An id whatever its case and separators. */
function plain(id: string): string {
  return id.replace(/[^\p{L}\p{N}]/gu, '').toLowerCase();
}

/** Takes one record. False when it has neither a number nor a boolean nor a sum, nor a quantity in a text. */
function takeRecord(record: SenmlRecord, part: string, values: Values, refusals: Refusals): boolean {
  const { value, flag, sum, text, path } = record;
  const number = value ?? (flag === undefined ? undefined : Number(flag));
  if (number === undefined && sum === undefined && text === undefined) return false;
  const own = metricOf(record);
  if (own === undefined) {
    if (text !== undefined) return false;
    refusals.add('bad_name', path, 'neither its name nor its unit says what it measures');
    return true;
  }
  const metric = part + own;
  // An unknown unit must not count as the metric's own: a metric that has a unit refuses it.
  const unit = flag === undefined && record.unit !== '' ? record.unit : undefined;
  if (number !== undefined) values.add(metric, number, unit, () => path);
  if (sum !== undefined) values.add(`${metric}_sum`, sum, undefined, () => path);
  if (text === undefined) return true;
  return values.addText(metric, text, unit, () => path) !== undefined || sum !== undefined;
}

function metricOf({ name, unit }: SenmlRecord): string | undefined {
  const last = lastPart(name);
  const own = isAddress(last) ? undefined : metricName(last);
  return own ?? (unit === undefined ? undefined : unitMetric(unit));
}
