import { finite, flag, listOf, optional, record, text } from '../../client/shape-checks.ts';
import { farmPath } from './gateway.ts';
import { call } from './http.ts';
import type { Whose } from './letters.ts';

/** Something that somebody did, that was changed, or that was refused. What is not known is undefined. */
export interface ShownEvent {
  readonly id: string;
  /** Unix ms; of several the last. */
  readonly at: number;
  readonly kind: string;
  readonly who: string | undefined;
  readonly from: string | undefined;
  readonly farm: string | undefined;
  readonly sensor: string | undefined;
  readonly why: string | undefined;
  readonly what: string | undefined;
  readonly count: number;
  /** Of a value that was overwritten. */
  readonly values:
    | { readonly metric: string; readonly ts: number; readonly old: number; readonly new: number }
    | undefined;
  /** Of a thing in the registry: by key what it was and what it is. */
  readonly change:
    | { readonly thing: string; readonly id: string; readonly keys: Readonly<Record<string, unknown>> }
    | undefined;
}

export interface EventsAnswer {
  readonly events: readonly ShownEvent[];
  /** What `before` must be for the next page; undefined on the last. */
  readonly next: string | undefined;
}

/** The newest refusal of a sensor, and the newest time that a client with its client id took its connection over. */
export interface SensorRefusal {
  readonly refused: ShownEvent | undefined;
  /** False when another farm's sensor may have been meant. */
  readonly certain: boolean;
  readonly takenOver: ShownEvent | undefined;
  /** When the gateway last heard it, Unix ms. */
  readonly lastSeen: number | undefined;
}

interface EventsWanted {
  readonly kinds: readonly string[];
  readonly text: string;
  readonly before?: string;
}

/** Events of a farm; `undefined`: of the whole installation, which only admins of every farm see. */
export async function getEvents(whose: Whose, wanted: EventsWanted, signal: AbortSignal): Promise<EventsAnswer> {
  const search = new URLSearchParams();
  if (wanted.kinds.length > 0) search.set('kind', wanted.kinds.join(','));
  if (wanted.text !== '') search.set('text', wanted.text);
  if (wanted.before !== undefined) search.set('before', wanted.before);
  const path = whose === undefined ? '/api/events' : `${farmPath(whose)}/events`;
  return readEvents(await call(`${path}?${search}`, { signal }));
}

/** By sensor. Only for admins of the farm. */
export async function getRefusals(farm: string, signal: AbortSignal): Promise<ReadonlyMap<string, SensorRefusal>> {
  return readRefusals(await call(`${farmPath(farm)}/refusals`, { signal }));
}

export function readEvents(value: unknown): EventsAnswer {
  const answer = record(value, 'answer');
  return { events: listOf(answer.events, 'events', readShown), next: optional(answer.next, 'next', text) };
}

export function readRefusals(value: unknown): ReadonlyMap<string, SensorRefusal> {
  const sensors = listOf(record(value, 'answer').sensors, 'sensors', (given, path) => {
    const one = record(given, path);
    const refusal: SensorRefusal = {
      refused: optional(one.refused, `${path}.refused`, readShown),
      certain: flag(one.certain, `${path}.certain`),
      takenOver: optional(one.takenOver, `${path}.takenOver`, readShown),
      lastSeen: optional(one.lastSeen, `${path}.lastSeen`, finite),
    };
    return [text(one.sensor, `${path}.sensor`), refusal] as const;
  });
  return new Map(sensors);
}

function readShown(value: unknown, path: string): ShownEvent {
  const event = record(value, path);
  return {
    id: text(event.id, `${path}.id`),
    at: finite(event.at, `${path}.at`),
    kind: text(event.kind, `${path}.kind`),
    who: optional(event.who, `${path}.who`, text),
    from: optional(event.from, `${path}.from`, text),
    farm: optional(event.farm, `${path}.farm`, text),
    sensor: optional(event.sensor, `${path}.sensor`, text),
    why: optional(event.why, `${path}.why`, text),
    what: optional(event.what, `${path}.what`, text),
    count: finite(event.count, `${path}.count`),
    values: optional(event.values, `${path}.values`, (given, at) => {
      const values = record(given, at);
      return {
        metric: text(values.metric, at),
        ts: finite(values.ts, at),
        old: finite(values.old, at),
        new: finite(values.new, at),
      };
    }),
    change: optional(event.change, `${path}.change`, (given, at) => {
      const change = record(given, at);
      return { thing: text(change.thing, at), id: text(change.id, at), keys: record(change.keys, at) };
    }),
  };
}
