import type { RecordedEvent } from '../../telemetry/event.ts';
import { msOf } from '../../telemetry/instant.ts';
import type { Noted } from '../../telemetry/noted.ts';

const NOBODY = { who: null, from: null, farm: null, sensor: null, why: null, what: null, count: 1 } as const;

/** An event as the interface tells it: every kind has the same members, and null for what is not known. */
export function shownEvent(event: RecordedEvent) {
  switch (event.kind) {
    case 'overwritten': {
      const { kind, id, at, farm, sensor, metric, ts, old, origin } = event;
      const values = { metric, ts: msOf(ts), old, new: event.new, origin };
      return { ...NOBODY, id, at, kind, farm, sensor, values };
    }
    case 'registry_changed': {
      const { kind, id, at, who, thing, thingId, what } = event;
      const [farm = null, sensor = null] = placeOf(thing, thingId);
      return { ...NOBODY, id, at, kind, who, farm, sensor, change: { thing, id: thingId, keys: readJson(what) } };
    }
    default:
      return shownNoted(event);
  }
}

export function shownNoted({ id, at, kind, who, from, farm, sensor, why, what, count }: Noted) {
  const orNull = (text: string) => (text === '' ? null : text);
  const about = { who: orNull(who), from: orNull(from), farm: orNull(farm), sensor: orNull(sensor) };
  return { id, at, kind, ...about, why: orNull(why), what: orNull(what), count };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** Whether an event is certain to be a farm's. */
export function isOfFarm(event: RecordedEvent, farm: string): boolean {
  if (event.kind === 'registry_changed') return placeOf(event.thing, event.thingId)[0] === farm;
  return event.farm === farm;
}

/** The farm, and sensor, that a thing of the registry belongs to. */
function placeOf(thing: string, id: string): readonly string[] {
  if (thing === 'farm') return [id];
  const slash = id.indexOf('/');
  if (slash < 0 || (thing !== 'field' && thing !== 'sensor')) return [];
  const farm = id.slice(0, slash);
  return thing === 'sensor' ? [farm, id.slice(slash + 1)] : [farm];
}
