import { randomUUID } from 'node:crypto';
import { Packr } from 'msgpackr';
import { z } from 'zod';
import { EncodingInvalid, EncodingNewer } from '../core/errors.ts';
import { type BatchPlace, placeId } from './account/batch-place.ts';
import { type AccountNote, accountNotes } from './account/notes.ts';
import type { ClockError } from './formats/decoded.ts';
import { msOf } from './instant.ts';
import {
  fromRow,
  isNow,
  isOfVersion1,
  isOfVersion2,
  isText,
  MAX_TEXT,
  type Publish,
  type PublishRow,
  toRow,
} from './publish.ts';
import type { Reading } from './reading.ts';

export type { Publish } from './publish.ts';

/** Where a batch comes from, when not from sensors: a file of old readings, or dead letters that are replayed. */
export type Origin = 'import' | 'replay';

/**
 * The version of queue messages that is written. Version 2, in which a batch had no place, and version 1, which had no count
 * in a receipt either, are read too.
 */
export const BATCH_VERSION = 3;
/**
 * The version of dead letters that is written. Version 2, which did not say who handed a publish over, what it says of its
 * clock, nor by whose clock it was received, and version 1, which had no count in a receipt either, are read too.
 */
const LETTER_VERSION = 3;

/** One queue message. Its readings keep the `id` in the live log, where readers drop a second copy by it. */
export interface Batch {
  /** That of its place, where it has one and no other was wanted. */
  readonly id: string;
  readonly publishes: readonly Publish[];
  readonly origin?: Origin;
  readonly place?: BatchPlace;
}

/** One entry of the live log: what a worker made of one batch. */
export interface LiveEntry {
  readonly id: string;
  readonly readings: readonly Reading[];
  /**
   * What was written to the store unannounced, as by an import. Caches of the store's answers must drop these ranges.
   */
  readonly changed?: readonly Changed[];
  /** What is said of batches beside it; it is about others as a rule. */
  readonly account?: readonly AccountNote[];
}

/** Values of one sensor have changed in the store, with from <= ts < to (whole Unix ms). */
export interface Changed {
  readonly farm: string;
  readonly sensor: string;
  readonly from: number;
  readonly to: number;
}

/** The range of each sensor that writing `readings` changed. */
export function changedBy(readings: readonly Reading[]): Changed[] {
  const ranges = new Map<string, Changed>();
  for (const { farm, sensor, ts } of readings) {
    const key = `${farm}/${sensor}`;
    const known = ranges.get(key);
    const ms = msOf(ts);
    const from = Math.min(ms, known?.from ?? ms);
    const to = Math.max(ms + 1, known?.to ?? 0);
    ranges.set(key, { farm, sensor, from, to });
  }
  return [...ranges.values()];
}

/** One entry of the dead-letter log: a publish, or a part of it, that no worker could make readings of. `at` is Unix ms. */
export interface DeadLetter {
  readonly publish: Publish;
  readonly reason: string;
  readonly explanation: string;
  readonly at: number;
  /** Which process wrote it, as `worker/…` or `broker/…`. */
  readonly writer?: string | undefined;
  /** Of a letter that was refused because its times are yet to come. */
  readonly clock?: ClockError | undefined;
  /** By the clock of which run of an entrance it was received, where that is known: the log of clocks says what became of that clock. */
  readonly run?: string | undefined;
  /** Its payload is readings whose names, units and times were settled when they were read: the sensor's rules are not for them. */
  readonly settled?: true | undefined;
}

/** A fresh id for a batch without a place. */
export function batchId(): string {
  return randomUUID();
}

// Plain MessagePack without record extensions: any MessagePack reader can open a queue message when something is wrong.
export const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

// Rows that need neither of the last two columns leave them out, as earlier versions did.
type ReadingRow = [
  farm: string,
  sensor: string,
  ts: number,
  received: number,
  values: Record<string, number>,
  deviceTs?: number | null,
  backfill?: boolean,
];

// Rows are checked without zod, which took a third of a gateway's time under load: every reading is checked twice.
function isReadingRow(row: unknown): row is ReadingRow {
  if (!Array.isArray(row) || row.length < 5 || row.length > 7) return false;
  const [farm, sensor, ts, received, values, deviceTs, backfill]: unknown[] = row;
  if (!isText(farm) || !isText(sensor) || !Number.isFinite(ts) || !Number.isFinite(received)) return false;
  const timed = deviceTs === undefined || deviceTs === null || Number.isFinite(deviceTs);
  return timed && (backfill === undefined || typeof backfill === 'boolean') && areValues(values);
}

function areValues(values: unknown): values is Record<string, number> {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) return false;
  return Object.values(values).every(Number.isFinite);
}

function rowsOf<T>(isRow: (row: unknown) => row is T): z.ZodType<T[]> {
  return z.custom<T[]>((rows) => Array.isArray(rows) && rows.every(isRow), 'a row is not as it should be');
}

const text = z.string().max(MAX_TEXT);
// Batches of sensors leave the origin out.
const origin = z.enum(['import', 'replay']).optional();
// So short that its length stands in one byte: `placeOf` reads it there.
const run = z.string().min(1).max(31);
const batchMessage = z.tuple([
  z.literal(BATCH_VERSION),
  z.tuple([run, z.int().min(1), z.int().min(0)]).nullable(),
  text.nullable(),
  rowsOf(isNow),
  origin,
]);
const olderMessage = z.union([
  z.tuple([z.literal(2), text, rowsOf(isOfVersion2), origin]),
  z.tuple([z.literal(1), text, rowsOf(isOfVersion1), origin]),
]);
const changedRow = z.tuple([text, text, z.number(), z.number()]);
// Entries that have neither of the last two elements leave them out, as earlier versions did.
const liveMessage = z.tuple([
  z.literal(1),
  text,
  rowsOf(isReadingRow),
  z.array(changedRow).nullable().optional(),
  accountNotes.optional(),
]);
const letterEnd = [text, z.string(), z.number(), text.nullable().optional()] as const;
const clockError = z.tuple([z.number(), z.number()]).nullable().optional();
const deadMessage = z.union([
  // Only letters of settled readings have the last element: so earlier versions can read all others.
  z.tuple([
    z.literal(LETTER_VERSION),
    z.custom<PublishRow>(isNow),
    ...letterEnd,
    clockError,
    text.optional(),
    z.literal(true).optional(),
  ]),
  z.tuple([z.literal(2), z.custom<PublishRow>(isOfVersion2), ...letterEnd]),
  z.tuple([z.literal(1), z.custom<PublishRow>(isOfVersion1), ...letterEnd]),
]);

function toReadingRow({ farm, sensor, ts, received, values, deviceTs, backfill }: Reading): ReadingRow {
  if (deviceTs === undefined && !backfill) return [farm, sensor, ts, received, values];
  return [farm, sensor, ts, received, values, deviceTs ?? null, backfill ?? false];
}

function fromReadingRow([farm, sensor, ts, received, values, deviceTs, backfill]: ReadingRow): Reading {
  const reading = { farm, sensor, ts, received, values };
  const claimed = deviceTs === undefined || deviceTs === null ? reading : { ...reading, deviceTs };
  return backfill ? { ...claimed, backfill } : claimed;
}

/**
 * The value in a message as `schema` reads it. Throws EncodingInvalid, which says that it is no `what`. Each message
 * begins with its version number, so that queued messages can be read after an upgrade.
 */
export function decode<T>(schema: z.ZodType<T>, message: Uint8Array, what: string): T {
  let value: unknown;
  try {
    value = packr.unpack(message);
  } catch (cause) {
    throw new EncodingInvalid(`not a ${what}: its bytes are not MessagePack`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new EncodingInvalid(`not a ${what}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The bytes of a batch, for the queue. */
export function encodeBatch({ id, publishes, origin, place }: Batch): Uint8Array {
  const at = place ? [place.run, place.number, place.confirmed] : null;
  const named = place && id === placeId(place) ? null : id;
  const message = [BATCH_VERSION, at, named, publishes.map(toRow)];
  return packr.pack(origin === undefined ? message : [...message, origin]);
}

/** The batch in a queue message. Throws EncodingInvalid, and EncodingNewer for one that a newer version of Loam wrote. */
export function decodeBatch(bytes: Uint8Array): Batch {
  if (isNewer(bytes)) throw new EncodingNewer(`a batch of version ${bytes[1]}: this one reads up to ${BATCH_VERSION}`);
  if ((bytes[1] ?? 0) < BATCH_VERSION) {
    const [, id, rows, origin] = decode(olderMessage, bytes, 'batch');
    return { id, publishes: rows.map(fromRow), ...(origin === undefined ? {} : { origin }) };
  }
  const [, at, named, rows, origin] = decode(batchMessage, bytes, 'batch');
  const place = at ? { run: at[0], number: at[1], confirmed: at[2] } : undefined;
  const id = named ?? (place && placeId(place));
  if (id === undefined) throw new EncodingInvalid('not a batch: it has neither an id nor a place');
  const publishes = rows.map(fromRow);
  return { id, publishes, ...(origin === undefined ? {} : { origin }), ...(place ? { place } : {}) };
}

/** A higher number than this is a broken byte, not a version to come. */
const MOST_VERSION = 31;

/** Whether a queue message is a batch of a newer version: a MessagePack array of 3 to 15 elements that begins with its version. */
export function isNewer([head = 0, version = 0]: Uint8Array): boolean {
  return head >= 0x93 && head <= 0x9f && version > BATCH_VERSION && version <= MOST_VERSION;
}

/** The bytes of a live entry, for the live log. */
export function encodeLive({ id, readings, changed, account }: LiveEntry): Uint8Array {
  const ranges = changed?.map(({ farm, sensor, from, to }) => [farm, sensor, from, to]);
  const entry = [1, id, readings.map(toReadingRow), ...(ranges ? [ranges] : [])];
  const bytes = packr.pack(entry);
  return account === undefined ? bytes : withAccount(bytes, account);
}

/** The bytes of a live entry that has no notes, with notes. It is not unpacked for that. */
export function withAccount(entry: Uint8Array, account: readonly AccountNote[]): Uint8Array {
  const nothingChanged = entry[0] === LIST_OF_3 ? [NIL] : [];
  const notes: Uint8Array = packr.pack(account);
  const bytes = Buffer.concat([entry, Uint8Array.from(nothingChanged), notes]);
  bytes[0] = LIST_OF_5;
  return bytes;
}

/** The bytes of a live entry that has notes and nothing else. */
export function accountEntry(account: readonly AccountNote[]): Uint8Array {
  return encodeLive({ id: '', readings: [], account });
}

const LIST_OF_3 = 0x93;
const LIST_OF_5 = 0x95;
const NIL = 0xc0;

/** The live entry in a message of the live log. Throws EncodingInvalid. */
export function decodeLive(bytes: Uint8Array): LiveEntry {
  const [, id, rows, changed, account] = decode(liveMessage, bytes, 'live entry');
  const ranges = changed?.map(([farm, sensor, from, to]) => ({ farm, sensor, from, to }));
  const readings = rows.map(fromReadingRow);
  return { id, readings, ...(ranges ? { changed: ranges } : {}), ...(account ? { account } : {}) };
}

/** The readings in a live entry that this process packed itself: unlike `decodeLive`, which takes twice as long, it checks nothing. */
export function readingsOfOwn(entry: Uint8Array): Reading[] {
  const [, , rows]: [number, string, ReadingRow[]] = packr.unpack(entry);
  return rows.map(fromReadingRow);
}

/** The bytes of a dead letter, for the dead-letter log. */
export function encodeDead({ publish, reason, explanation, at, writer, clock, run, settled }: DeadLetter): Uint8Array {
  const error = clock ? [clock.aheadMs, clock.correctedMs] : null;
  const row = [LETTER_VERSION, toRow(publish), reason, explanation, at, writer ?? null, error, run ?? ''];
  return packr.pack(settled ? [...row, settled] : row);
}

/** The dead letter in a message of the dead-letter log. Throws EncodingInvalid. */
export function decodeDead(bytes: Uint8Array): DeadLetter {
  const [, row, reason, explanation, at, writer, clock, run = '', settled] = decode(deadMessage, bytes, 'dead letter');
  const letter = { publish: fromRow(row), reason, explanation, at };
  return {
    ...letter,
    ...(writer ? { writer } : {}),
    ...(clock ? { clock: { aheadMs: clock[0], correctedMs: clock[1] } } : {}),
    ...(run === '' ? {} : { run }),
    ...(settled ? { settled } : {}),
  };
}
