import { type Draft, type FoundReadings, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeItems } from './native.ts';
import { Leaves } from './nested-values.ts';
import { takeTimeBeside } from './times.ts';

/**
 * The readings in a payload of ThingsBoard's device API: `{"key": value}`, `{"ts", "values": {…}}`, or an array of
 * either. Items without `ts` were measured when the payload was received; those of one array are one reading together.
 * https://thingsboard.io/docs/reference/mqtt-api/#telemetry-upload-api
 */
export function takeThingsboard(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  let skipped = 0;
  let untimed: Leaves | undefined;
  const take = (item: unknown, path: string): Draft | undefined => {
    if (!isObject(item)) {
      refusals.add('not_an_object', path, `telemetry is an object, not ${kind(item)}`);
      return undefined;
    }
    const inner = isObject(item.values) && Object.hasOwn(item, 'values') ? item.values : undefined;
    const outside = takeTimeBeside(item, path, context, refusals);
    const isEnvelope = inner !== undefined && (outside.key !== undefined || Object.keys(item).length === 1);
    // Inside of `values`, `ts` is a key like any other.
    const isInside = isEnvelope && outside.key === undefined && !Object.hasOwn(inner, 'ts');
    const time = isInside ? takeTimeBeside(inner, `${path}.values`, context, refusals) : outside;
    const { at, key } = time;
    if (at === null) return undefined;
    const hasTime = key !== undefined;
    const leaves = hasTime ? undefined : untimed;
    leaves?.joinedByOthers();
    const into = leaves ?? new Leaves(context.rules, refusals, path);
    if (!hasTime) untimed = into;
    const before = into.skipped;
    const own: ReadonlySet<string> = new Set(key === undefined ? [] : [key]);
    if (isEnvelope) into.takeAll(inner, '', `${path}.values`, isInside ? own : undefined);
    // What stands beside `values` is telemetry, too.
    into.takeAll(item, '', path, isEnvelope ? new Set([...own, 'values']) : own);
    skipped += into.skipped - before;
    // The first item without a time has the draft; the values of the later ones are added to it.
    if (leaves) return undefined;
    return { at, path, values: into.live };
  };
  const found = Array.isArray(payload) ? takeItems(payload, refusals, take) : [take(payload, '$')];
  const drafts = found.filter((draft) => draft !== undefined).filter(({ values }) => Object.keys(values).length > 0);
  return { drafts, skipped };
}
