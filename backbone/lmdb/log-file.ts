import { randomUUID } from 'node:crypto';
import type { Database } from 'lmdb';
import { z } from 'zod';
import type { Disks, Use } from '../files/disk.ts';
import { type LogEntry, type LogLimits, MOST_PINNED } from '../ports/log.ts';
import { Environment } from './lmdb.ts';
import { Ages } from './log-ages.ts';

const stateSchema = z.object({
  format: z.literal(1),
  epoch: z.string(),
  first: z.number(),
  next: z.number(),
  bytes: z.number(),
  /** Only with `onlyCopy`: how long the log has been open in all, ms. */
  lived: z.number().optional(),
});
type LogState = z.infer<typeof stateSchema>;

/** A value is the time it was written, Unix ms as a double, and then the entry. */
const TIME_BYTES = 8;

/** More bytes than the state record takes. */
const STATE_BYTES = 300;

/** Most old entries that one transaction removes, besides two for each entry it appends; and while the log is opened. */
const TRIM_STEP = 64;
const TRIM_STEP_ALONE = 1_024;

/**
 * The log's file: entries by offset, without holes between `first` and `next`, and one state record.
 *
 * The state record holds the epoch and is written in every transaction together with the entries that it describes. So
 * trimming cannot lose the epoch, and the offsets and the entries agree after a crash.
 *
 * The machine's clock tells which entries are too old. With `onlyCopy`, the time that the log has been open tells it
 * (`Ages`).
 */
export class LogFile {
  private readonly environment: Environment;
  private readonly limits: LogLimits;
  private readonly table: Database<Buffer, number>;
  private readonly stateTable: Database<unknown, string>;
  private ages: Ages | undefined;
  private state: LogState = { format: 1, epoch: randomUUID(), first: 0, next: 0, bytes: 0 };
  /** The oldest offset that may be read. While a transaction trims, it is ahead of the one in the file. */
  first = 0;

  private constructor(environment: Environment, limits: LogLimits) {
    this.environment = environment;
    this.limits = limits;
    this.table = environment.numbered('entries');
    this.stateTable = environment.values('state');
  }

  /** Opens the file, gives a new one its epoch, and trims. Rejects as `Environment.open` does, or with ZodError. */
  static async open(folder: string, limits: LogLimits, disks: Disks): Promise<LogFile> {
    // A small entry takes more room than its bytes; pages are reused only some transactions later.
    const environment = await Environment.open(folder, limits.maxBytes * 2 + 2 ** 30, disks);
    try {
      const file = new LogFile(environment, limits);
      const stored = file.stateTable.get('log');
      if (stored !== undefined) file.state = stateSchema.parse(stored);
      file.first = file.state.first;
      if (limits.onlyCopy) {
        file.ages = new Ages(environment.values('marks'), limits.maxAgeMs, file.state.lived ?? 0);
      }
      await file.trim();
      return file;
    } catch (error) {
      await environment.close();
      throw error;
    }
  }

  get epoch(): string {
    return this.state.epoch;
  }

  get next(): number {
    return this.state.next;
  }

  /** Entries from `offset` on: at most `limit`, and none after the one with which they reach `mostBytes`. */
  read(offset: number, limit: number, mostBytes = Number.POSITIVE_INFINITY): LogEntry[] {
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (const { key, value } of this.table.getRange({ start: offset, limit })) {
      entries.push({ offset: key, body: value.subarray(TIME_BYTES) });
      bytes += value.length;
      if (bytes >= mostBytes) break;
    }
    return entries;
  }

  /**
   * Appends in one transaction, and removes some entries that are too old or above `maxBytes`. Rejects when nothing was
   * kept.
   */
  async commit(
    bodies: readonly Uint8Array[],
    trimStep = TRIM_STEP + 2 * bodies.length,
    use: Use = 'work',
  ): Promise<void> {
    const now = Date.now();
    const values = bodies.map((body) => withTime(now, body));
    const begin = this.state.next;
    let bytes = this.state.bytes + values.reduce((sum, value) => sum + value.length, 0);
    const look = this.ages?.look(begin);
    const removed: number[] = [];
    const { maxBytes, pinned } = this.limits;
    const neededFrom = pinned ? (pinned() ?? 0) : Number.POSITIVE_INFINITY;
    for (const { key, value } of this.table.getRange({ start: this.state.first, limit: trimStep })) {
      const isOld = look ? key < look.oldBefore : value.readDoubleBE(0) < now - this.limits.maxAgeMs;
      if (bytes <= maxBytes && !isOld) break;
      if (key >= neededFrom && bytes <= maxBytes * MOST_PINNED) break;
      removed.push(key);
      bytes -= value.length;
    }
    const first = (removed.at(-1) ?? this.state.first - 1) + 1;
    const lived = look ? { lived: look.lived } : {};
    const next: LogState = { ...this.state, first, next: begin + values.length, bytes, ...lived };
    // Set before the write: a reader must not be promised an entry that is being removed.
    this.first = first;
    const puts = [STATE_BYTES, ...values.map((value) => value.length)];
    try {
      await this.environment.write({ puts, removes: removed.length }, use, () => {
        for (const [i, value] of values.entries()) void this.table.put(begin + i, value);
        for (const offset of removed) void this.table.remove(offset);
        void this.stateTable.put('log', next);
        if (look) this.ages?.write(look);
      });
    } catch (error) {
      this.first = this.state.first;
      throw error;
    }
    this.state = next;
    if (look) this.ages?.wrote(look);
  }

  async close(): Promise<void> {
    await this.environment.close();
  }

  private async trim(): Promise<void> {
    let before: number;
    do {
      before = this.first;
      await this.commit([], TRIM_STEP_ALONE, 'done');
    } while (this.first > before);
  }
}

function withTime(now: number, body: Uint8Array): Buffer {
  const value = Buffer.allocUnsafe(TIME_BYTES + body.length);
  value.writeDoubleBE(now, 0);
  value.set(body, TIME_BYTES);
  return value;
}
