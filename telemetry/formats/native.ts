import { explain } from '../../core/errors.ts';
import { MAX_TS, MIN_TS, type Reading } from '../reading.ts';
import { child, type Decoded, type PayloadContext, Refusals } from './decoded.ts';
import { kind, takeValues } from './values.ts';

/** Most readings taken of one payload. */
export const MAX_READINGS = 10_000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The readings in a payload of Loam's own JSON form: `{"ts", "values"}`, an array of those, or the values alone.
 * It never throws: whatever the bytes are, there are readings, refusals or both. Good parts go through, bad ones are refused.
 *
 * It is written by hand because a schema answers for a payload as a whole, and here each value has an answer of its own.
 */
export function decodeNative(payload: Uint8Array, context: PayloadContext): Decoded {
  const refusals = new Refusals();
  const readings = parse(payload, refusals, (value) => takePayload(value, context, refusals));
  return { readings, refused: refusals.list() };
}

function parse(payload: Uint8Array, refusals: Refusals, take: (value: unknown) => Reading[]): Reading[] {
  let text: string;
  try {
    text = utf8.decode(payload);
  } catch {
    refusals.add('not_utf8', '$', 'the payload is not UTF-8 text');
    return [];
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refusals.add('not_json', '$', `the payload is not JSON: ${explain(error).slice(0, 200)}`);
    return [];
  }
  return take(value);
}

function takePayload(value: unknown, context: PayloadContext, refusals: Refusals): Reading[] {
  if (!Array.isArray(value)) {
    const reading = takeReading(value, '$', context, refusals, false);
    return reading ? [reading] : [];
  }
  if (value.length === 0) refusals.add('no_values', '$', 'the array is empty');
  if (value.length > MAX_READINGS) {
    const rest = value.length - MAX_READINGS;
    refusals.add('too_many_readings', `$[${MAX_READINGS}]`, `${rest} readings too many: ${MAX_READINGS} are taken`);
  }
  const readings: Reading[] = [];
  for (const [i, item] of value.slice(0, MAX_READINGS).entries()) {
    const reading = takeReading(item, `$[${i}]`, context, refusals, true);
    if (reading) readings.push(reading);
  }
  return readings;
}

function takeReading(
  item: unknown,
  path: string,
  context: PayloadContext,
  refusals: Refusals,
  timeRequired: boolean,
): Reading | undefined {
  if (!isObject(item)) {
    refusals.add('not_an_object', path, `a reading is an object, not ${kind(item)}`);
    return undefined;
  }
  const ts = takeTime(item, path, context, refusals, timeRequired);
  if (ts === undefined) return undefined;
  const values = Object.hasOwn(item, 'values')
    ? takeEnvelope(item, path, refusals)
    : takeValues(item, path, refusals, 'ts');
  if (values === undefined) return undefined;
  return { farm: context.farm, sensor: context.sensor, ts, received: context.received, values };
}

function takeEnvelope(
  item: Readonly<Record<string, unknown>>,
  path: string,
  refusals: Refusals,
): Record<string, number> | undefined {
  for (const key of Object.keys(item)) {
    if (key === 'ts' || key === 'values') continue;
    refusals.add('unknown_key', child(path, key), 'beside "values" there can only be "ts"');
  }
  const { values } = item;
  if (isObject(values)) return takeValues(values, `${path}.values`, refusals);
  refusals.add('not_an_object', `${path}.values`, `"values" is an object, not ${kind(values)}`);
  return undefined;
}

function takeTime(
  item: Readonly<Record<string, unknown>>,
  path: string,
  context: PayloadContext,
  refusals: Refusals,
  required: boolean,
): number | undefined {
  if (!Object.hasOwn(item, 'ts')) {
    if (!required) return context.received;
    refusals.add('time_required', path, 'in an array each reading has its own "ts"');
    return undefined;
  }
  const { ts } = item;
  if (typeof ts === 'number' && ts >= MIN_TS && ts < MAX_TS) return Math.floor(ts);
  refusals.add('bad_time', `${path}.ts`, `${kind(ts)} is not Unix time in ms of the years 2000 to 2199${hint(ts)}`);
  return undefined;
}

function hint(ts: unknown): string {
  return typeof ts === 'number' && ts * 1000 >= MIN_TS && ts * 1000 < MAX_TS ? '; it looks like seconds' : '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
