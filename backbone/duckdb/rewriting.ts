import { EncodingInvalid, explain, LogUnavailable, StoreRejected, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { Log, LogEntry } from '../ports/log.ts';
import { refuseUnstorable } from '../ports/store-checks.ts';
import type { KeptPlace, LogPlace } from './protocol.ts';

/** Few entries at once: each is decoded on the thread that serves everybody else. */
const ENTRIES = 16;
/** Readings in one write. */
const BATCH = 5_000;
/** After so many readings a checkpoint is taken: if this ends half way, the next time begins there. */
const CHECKPOINT_EACH = 500_000;

export interface Rewriting {
  readonly live: Log;
  /** What the store has everything before; or `first`, for all that the log has. */
  readonly from: KeptPlace | 'first';
  readonly write: (readings: readonly Reading[]) => Promise<void>;
  readonly checkpoint: (place: LogPlace) => Promise<void>;
  /** Without it, entries that the log cannot read now are left out. */
  readonly isWhole: boolean;
  /** Ends it early: it rejects then. */
  readonly signal: AbortSignal;
}

export interface Rewritten {
  /** The store has everything before this place. */
  readonly place: LogPlace;
  readonly readings: number;
  /** Entries that cannot be read, and readings that no store takes. */
  readonly leftOut: number;
  /** When the first of the entries was received, Unix ms. */
  readonly oldest: number | undefined;
  /** Why the log has not everything from the place on; undefined when it has. */
  readonly gap: string | undefined;
  /** Why entries were left out that the log may give another time; undefined when there were none. */
  readonly unread: string | undefined;
}

/**
 * Writes everything that the live log has from a place on into the store again. Readings that the store has already change
 * nothing. What is damaged in the log is left out. Rejects with LogUnavailable, also when the log may give another time
 * what it does not give now, and with whatever `write` and `checkpoint` reject with.
 */
export async function rewrite(work: Rewriting): Promise<Rewritten> {
  const { epoch, next: end } = await work.live.head();
  const { offset: begin, gap } = await beginOf(work, epoch, end);
  const batch = new Batches(work, epoch);
  let unread: string | undefined;
  for (let offset = begin; offset < end; ) {
    const { entries, why } = await entriesFrom(work, { epoch, offset });
    unread ??= why;
    const last = entries.at(-1);
    if (last === undefined) break;
    for (const entry of entries) if (entry.offset < end) batch.take(entry);
    offset = last.offset + 1;
    await batch.writeWhenFull(offset);
  }
  await batch.writeAll();
  const { readings, leftOut, oldest } = batch;
  return { place: { epoch, offset: end }, readings, leftOut, oldest, gap, unread };
}

/** The next entries; and why others among them were left out. */
async function entriesFrom(
  { live, isWhole }: Rewriting,
  place: LogPlace,
): Promise<{ entries: readonly LogEntry[]; why?: string }> {
  try {
    return { entries: await live.read(place, ENTRIES, { whole: true }) };
  } catch (error) {
    if (isWhole || !(error instanceof LogUnavailable)) throw error;
    return { entries: await live.read(place, ENTRIES), why: explain(error) };
  }
}

/** Where the log has the first entry to be written; and what is missing before it. */
async function beginOf(
  { live, from }: Rewriting,
  epoch: string,
  end: number,
): Promise<{ offset: number; gap: string | undefined }> {
  const first = async () => (await live.head()).first;
  if (from === 'first') return { offset: await first(), gap: undefined };
  if (from.epoch !== epoch) return { offset: await first(), gap: 'the live log was started over' };
  if (from.offset > end) return { offset: end, gap: 'the live log ends before the place of the checkpoint' };
  try {
    await live.read(from, 1);
    return { offset: from.offset, gap: undefined };
  } catch (error) {
    if (error instanceof Trimmed) return { offset: error.first, gap: 'the live log was trimmed' };
    if (error instanceof UnknownEpoch) return { offset: await first(), gap: 'the live log was started over' };
    throw error;
  }
}

/** Gathers readings of entries for writes of some size. */
class Batches {
  readings = 0;
  leftOut = 0;
  oldest: number | undefined;
  private readonly work: Rewriting;
  private readonly epoch: string;
  private waiting: Reading[] = [];
  private sinceCheckpoint = 0;

  constructor(work: Rewriting, epoch: string) {
    this.work = work;
    this.epoch = epoch;
  }

  take(entry: LogEntry): void {
    const found = readingsOf(entry);
    if (found === undefined) {
      this.leftOut += 1;
      return;
    }
    const storable = withoutRefused(found);
    this.leftOut += found.length - storable.length;
    this.oldest ??= storable[0]?.received;
    for (const reading of storable) this.waiting.push(reading);
  }

  /** `next`: everything before this offset was taken. */
  async writeWhenFull(next: number): Promise<void> {
    if (this.waiting.length < BATCH) return;
    await this.writeAll();
    if (this.sinceCheckpoint < CHECKPOINT_EACH) return;
    await this.work.checkpoint({ epoch: this.epoch, offset: next });
    this.sinceCheckpoint = 0;
  }

  async writeAll(): Promise<void> {
    this.work.signal.throwIfAborted();
    const batch = this.waiting;
    this.waiting = [];
    if (batch.length > 0) await this.work.write(batch);
    this.readings += batch.length;
    this.sinceCheckpoint += batch.length;
  }
}

function readingsOf({ body }: LogEntry): readonly Reading[] | undefined {
  try {
    return decodeLive(body).readings;
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}

/** Workers announce readings before the store has refused any: those became dead letters. */
function withoutRefused(readings: readonly Reading[]): readonly Reading[] {
  try {
    refuseUnstorable(readings);
    return readings;
  } catch (error) {
    if (!(error instanceof StoreRejected)) throw error;
    const refused = new Set(error.suspects);
    return readings.filter((_, place) => !refused.has(place));
  }
}

/** What is said of readings that were written again. */
export function rewrittenInWords({ readings, oldest }: Rewritten, from: KeptPlace | 'first'): string {
  const isAll = from === 'first' ? `: all that the log has, since ${timeOf(oldest)}` : '';
  return `${readings} readings that came after the last checkpoint were written to the store again from the live log${isAll}`;
}

/** What a person is told of readings that may be missing. */
export function gapsInWords({ gap, unread, oldest }: Rewritten, from: KeptPlace | 'first'): string[] {
  const gaps: string[] = [];
  if (gap !== undefined && from !== 'first') {
    const times = `between ${new Date(from.taken).toISOString()} and ${timeOf(oldest)}`;
    gaps.push(`${gap}: readings received ${times} are in the store only as far as DuckDB's own log had them`);
  }
  if (unread !== undefined) {
    gaps.push(
      `entries of the live log could not be read: their readings are in the store only as far as DuckDB's own log had them (${unread})`,
    );
  }
  return gaps;
}

function timeOf(received: number | undefined): string {
  return received === undefined ? 'now' : new Date(received).toISOString();
}
