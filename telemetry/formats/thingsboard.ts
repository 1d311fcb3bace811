import { type Draft, type FoundReadings, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeItems } from './native.ts';
import { Leaves } from './nested-values.ts';
import { takeTime } from './times.ts';

const TS: ReadonlySet<string> = new Set(['ts']);

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
    const hasTime = Object.hasOwn(item, 'ts');
    const at = hasTime ? takeTime(item.ts, path, 'ts', context, refusals) : undefined;
    if (at === null) return undefined;
    const leaves = hasTime ? undefined : untimed;
    const into = leaves ?? new Leaves(context.rules, refusals, path);
    if (!hasTime) untimed = into;
    const before = into.skipped;
    const values = hasTime || Object.keys(item).length === 1 ? item.values : undefined;
    if (isObject(values)) into.takeAll(values, '', `${path}.values`);
    else into.takeAll(item, '', path, TS);
    skipped += into.skipped - before;
    // The first item without a time has the draft; the values of the later ones are added to it.
    if (leaves) return undefined;
    return { at, path, values: into.live };
  };
  const found = Array.isArray(payload) ? takeItems(payload, refusals, take) : [take(payload, '$')];
  const drafts = found.filter((draft) => draft !== undefined).filter(({ values }) => Object.keys(values).length > 0);
  return { drafts, skipped };
}
