import { z } from 'zod';
import { decode, packr } from './batch.ts';
import { isNotedKind, type Noted, notedOfRow, notedRow, rowOfNoted } from './noted.ts';

/**
 * A value was written under a time that had another value of the same farm, sensor and metric before.
 *
 * - `id` is made from what the event is about, so two gateways that record the same event give it the same id.
 * - `ts` is the instant that both values have (`telemetry/instant.ts`).
 * - `oldBatch` is the batch that brought the old value; absent when the old value was read from the store. `newBatch` brought the new one.
 * - `at` is when it was seen, Unix ms. `origin` is where the new value came from.
 */
export interface Overwritten {
  readonly kind: 'overwritten';
  readonly id: string;
  readonly farm: string;
  readonly sensor: string;
  readonly metric: string;
  readonly ts: number;
  readonly old: number;
  readonly new: number;
  readonly oldBatch?: string;
  readonly newBatch: string;
  readonly at: number;
  readonly origin: 'live' | 'import';
}

/**
 * Something in the registry was changed.
 *
 * - `id` is made from the thing, its versions before and after, and `at`: gateways that see the same change give it the same id.
 * - `at` is when it was changed, Unix ms; where the registry is a file, when the file was written.
 * - `who` is the user; `command line`; or `file`, when it was found in the file: changed by hand or by another process.
 * - `thing` is its kind, `thingId` its id: of a field or sensor FARM/ID.
 * - `what` is JSON: by key, what it was and what it is, null for nothing. Secrets are `"(secret)"`. Of a change that is too long, values are null.
 */
export interface RegistryChanged {
  readonly kind: 'registry_changed';
  readonly id: string;
  readonly at: number;
  readonly who: string;
  readonly thing: string;
  readonly thingId: string;
  readonly what: string;
}

/** One entry of the event log or of the log of refusals, told apart by `kind`. An event may be there twice with one `id`: readers take the first. */
export type RecordedEvent = Overwritten | RegistryChanged | Noted;
/** The longest `what`, UTF-16 code units. */
export const MOST_WHAT = 8_000;

/** The id of what the metric of the reading at `index` of an entry of the live log did. */
export function liveEventId(epoch: string, offset: number, index: number, metric: string): string {
  return `${epoch}:${offset}:${index}:${metric}`;
}

/** The id of what the metric of the reading at `index` of an imported batch did. */
export function importEventId(batch: string, index: number, metric: string): string {
  return `${batch}:${index}:${metric}`;
}

/** The offset of the entry of the live log of `epoch` that an event is about; undefined when it is about anything else. */
export function offsetOfEvent(id: string, epoch: string): number | undefined {
  if (!id.startsWith(`${epoch}:`)) return undefined;
  const offset = /^(\d+):\d+:[^:]+$/.exec(id.slice(epoch.length + 1))?.[1];
  return offset === undefined ? undefined : Number(offset);
}

const VERSION = 1;
const text = z.string().max(1024);
const overwritten = z.tuple([
  z.literal(VERSION),
  z.literal('overwritten'),
  text,
  text,
  text,
  text,
  z.number(),
  z.number(),
  z.number(),
  text.nullable(),
  text,
  z.number(),
  z.enum(['live', 'import']),
]);
const registryChanged = z.tuple([
  z.literal(VERSION),
  z.literal('registry_changed'),
  text,
  z.number(),
  text,
  text,
  text,
  z.string().max(MOST_WHAT),
]);
const versioned = z.tuple([z.int().min(1), text]).rest(z.unknown());

/** The bytes of an event, for its log. */
export function encodeEvent(event: RecordedEvent): Uint8Array {
  if (event.kind !== 'overwritten' && event.kind !== 'registry_changed') return packr.pack(rowOfNoted(event));
  if (event.kind === 'registry_changed') {
    const { kind, id, at, who, thing, thingId, what } = event;
    const row: z.infer<typeof registryChanged> = [VERSION, kind, id, at, who, thing, thingId, what];
    return packr.pack(row);
  }
  const { kind, id, farm, sensor, metric, ts, old, oldBatch, newBatch, at, origin } = event;
  const row: z.infer<typeof overwritten> = [
    VERSION,
    kind,
    id,
    farm,
    sensor,
    metric,
    ts,
    old,
    event.new,
    oldBatch ?? null,
    newBatch,
    at,
    origin,
  ];
  return packr.pack(row);
}

/**
 * The event in a message of its log; undefined when a newer version of Loam wrote it, in another form or of a kind
 * that this one does not know: readers skip and count it. Throws EncodingInvalid.
 */
export function decodeEvent(bytes: Uint8Array): RecordedEvent | undefined {
  const [version, kind] = decode(versioned, bytes, 'event');
  if (version > VERSION) return undefined;
  if (isNotedKind(kind)) return notedOfRow(decode(notedRow, bytes, 'event'));
  if (kind !== 'overwritten' && kind !== 'registry_changed') return undefined;
  if (kind === 'registry_changed') {
    const [, named, id, at, who, thing, thingId, what] = decode(registryChanged, bytes, 'event');
    return { kind: named, id, at, who, thing, thingId, what };
  }
  const row = decode(overwritten, bytes, 'event');
  const [, , id, farm, sensor, metric, ts, old, fresh, oldBatch, newBatch, at, origin] = row;
  const event = { kind: row[1], id, farm, sensor, metric, ts, old, new: fresh, newBatch, at, origin };
  return oldBatch === null ? event : { ...event, oldBatch };
}
