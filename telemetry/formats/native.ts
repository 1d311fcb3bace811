import { child, type Draft, type FoundReadings, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeTime } from './times.ts';
import { takeValues } from './values.ts';

/** Most readings taken of one payload. */
export const MAX_READINGS = 10_000;

/**
 * The readings in a payload of Loam's own JSON form: `{"ts", "values"}`, an array of those, or the values alone. Good
 * parts are taken, bad ones are refused.
 *
 * No schema is used: a schema accepts or refuses a whole payload, and here each value is accepted or refused alone.
 */
export function takeNative(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  if (Array.isArray(payload)) {
    return {
      drafts: takeItems(payload, refusals, (item, path) => takeReading(item, path, context, refusals, true)),
      skipped: 0,
    };
  }
  const draft = takeReading(payload, '$', context, refusals, false);
  return { drafts: draft ? [draft] : [], skipped: 0 };
}

/** What `take` makes of each item of an array, up to MAX_READINGS of them. */
export function takeItems(
  items: readonly unknown[],
  refusals: Refusals,
  take: (item: unknown, path: string) => Draft | undefined,
): Draft[] {
  if (items.length === 0) refusals.add('no_values', '$', 'the array is empty');
  if (items.length > MAX_READINGS) {
    const rest = items.length - MAX_READINGS;
    refusals.add('too_many_readings', `$[${MAX_READINGS}]`, `${rest} readings too many: ${MAX_READINGS} are taken`);
  }
  const drafts: Draft[] = [];
  for (const [i, item] of items.slice(0, MAX_READINGS).entries()) {
    const draft = take(item, `$[${i}]`);
    if (draft) drafts.push(draft);
  }
  return drafts;
}

function takeReading(
  item: unknown,
  path: string,
  context: PayloadContext,
  refusals: Refusals,
  timeRequired: boolean,
): Draft | undefined {
  if (!isObject(item)) {
    refusals.add('not_an_object', path, `a reading is an object, not ${kind(item)}`);
    return undefined;
  }
  const hasTime = Object.hasOwn(item, 'ts');
  if (!hasTime && timeRequired) {
    refusals.add('time_required', path, 'in an array each reading has its own "ts"');
    return undefined;
  }
  const at = hasTime ? takeTime(item.ts, path, 'ts', context, refusals) : undefined;
  if (at === null) return undefined;
  const values = Object.hasOwn(item, 'values')
    ? takeEnvelope(item, path, context, refusals)
    : takeValues(item, path, context.rules, refusals, 'ts');
  return values && { at, path, values };
}

function takeEnvelope(
  item: Readonly<Record<string, unknown>>,
  path: string,
  { rules }: PayloadContext,
  refusals: Refusals,
): Record<string, number> | undefined {
  for (const key of Object.keys(item)) {
    if (key === 'ts' || key === 'values') continue;
    refusals.add('unknown_key', child(path, key), 'beside "values" there can only be "ts"');
  }
  const { values } = item;
  if (isObject(values)) return takeValues(values, `${path}.values`, rules, refusals);
  refusals.add('not_an_object', `${path}.values`, `"values" is an object, not ${kind(values)}`);
  return undefined;
}
