import { child, type Draft, type FoundReadings, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { isTimeBeside, takeTimeBeside } from './times.ts';
import { type TakenValues, takeValues } from './values.ts';

/** Most readings taken of one payload. */
export const MAX_READINGS = 10_000;

/**
 * The readings in a payload of Loam's own JSON form: `{"ts", "values"}`, an array of those, or the values alone. Good
 * parts are taken, bad ones are refused.
 *
 * No schema is used: a schema accepts or refuses a whole payload, and here each value is accepted or refused alone.
 */
export function takeNative(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  const found = { skipped: 0 };
  if (Array.isArray(payload)) {
    const drafts = takeItems(payload, refusals, (item, path) => takeReading(item, path, context, refusals, found));
    return { drafts, skipped: found.skipped };
  }
  const draft = takeReading(payload, '$', context, refusals, found);
  return { drafts: draft ? [draft] : [], skipped: found.skipped };
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
  found: { skipped: number },
): Draft | undefined {
  if (!isObject(item)) {
    refusals.add('not_an_object', path, `a reading is an object, not ${kind(item)}`);
    return undefined;
  }
  const timeRequired = path !== '$';
  const inner = Object.hasOwn(item, 'values') && isObject(item.values) ? item.values : undefined;
  const outside = takeTimeBeside(item, path, context, refusals, timeRequired);
  // Inside of `values`, `ts` is a metric.
  const isInside = outside.key === undefined && inner !== undefined && !Object.hasOwn(inner, 'ts');
  const time = isInside ? takeTimeBeside(inner, `${path}.values`, context, refusals, timeRequired) : outside;
  if (time.key === undefined && timeRequired) {
    refusals.add('time_required', path, 'in an array each reading has its own "ts"');
    return undefined;
  }
  if (time.at === null) return undefined;
  const taken = Object.hasOwn(item, 'values')
    ? takeEnvelope(item, path, isInside ? undefined : time.key, isInside ? time.key : undefined, context, refusals)
    : takeValues(item, path, context.rules, refusals, time.key);
  found.skipped += taken.skipped;
  return taken.values && { at: time.at, path, values: taken.values };
}

function takeEnvelope(
  item: Readonly<Record<string, unknown>>,
  path: string,
  outerTime: string | undefined,
  innerTime: string | undefined,
  { rules }: PayloadContext,
  refusals: Refusals,
): TakenValues {
  let skipped = 0;
  for (const key of Object.keys(item)) {
    if (key === outerTime || key === 'values') continue;
    if (isTimeBeside(key, item[key], rules.zone)) skipped++;
    else refusals.add('unknown_key', child(path, key), 'beside "values" there can only be "ts"');
  }
  const { values } = item;
  if (isObject(values)) {
    const taken = takeValues(values, `${path}.values`, rules, refusals, innerTime);
    return { values: taken.values, skipped: skipped + taken.skipped };
  }
  refusals.add('not_an_object', `${path}.values`, `"values" is an object, not ${kind(values)}`);
  return { values: undefined, skipped };
}
