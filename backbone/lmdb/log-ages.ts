import type { Database } from 'lmdb';
import { z } from 'zod';

/** When the log had been open for `lived` ms, all entries below `offset` were in it. */
interface Mark {
  readonly offset: number;
  readonly lived: number;
}

/** What a transaction is to write about age, and what it may trim. */
export interface Look {
  /** How long the log has been open in all, ms. */
  readonly lived: number;
  /** Entries below this offset have been in the log for `maxAgeMs` of that time. */
  readonly oldBefore: number;
  readonly made: Mark | undefined;
  readonly done: readonly Mark[];
}

/** Marks for each `maxAgeMs`: an entry is kept too long by at most 1/MARKS of it. */
const MARKS = 64;

/**
 * How old the entries are of a log that holds the only copy of them, counted in time that the log has been open. A
 * machine's clock may be wrong by decades, at its start or for a while, and trimming by it would remove what cannot be
 * restored. So the clock is never used. The monotonic clock counts while the log is open. The log keeps that time, and
 * marks that tell which entries it had at what time. An entry may be older than this says, never younger.
 */
export class Ages {
  private readonly table: Database<unknown, number>;
  private readonly maxAgeMs: number;
  private readonly before: number;
  private readonly openedAt = performance.now();
  private marks: readonly Mark[];

  /** `before`: how long the log was open before this opening, ms. Throws ZodError when a mark in the table is not valid. */
  constructor(table: Database<unknown, number>, maxAgeMs: number, before: number) {
    this.table = table;
    this.maxAgeMs = maxAgeMs;
    this.before = before;
    this.marks = [...table.getRange()].map(({ key, value }) => ({ offset: key, lived: z.number().parse(value) }));
  }

  /** To be called for each transaction; `next` is the offset of the first entry that it adds. */
  look(next: number): Look {
    const lived = this.before + performance.now() - this.openedAt;
    const newest = this.marks.at(-1);
    const isDue = newest === undefined || lived - newest.lived >= this.maxAgeMs / MARKS;
    // Without new entries no mark is made: the newest one has the same offset and is older.
    const made = isDue && newest?.offset !== next ? { offset: next, lived } : undefined;
    const old = this.marks.findLastIndex((mark) => mark.lived <= lived - this.maxAgeMs);
    return { lived, oldBefore: this.marks[old]?.offset ?? 0, made, done: this.marks.slice(0, Math.max(0, old)) };
  }

  /** Puts and removes the marks of `look`, within the transaction under way. */
  write({ made, done }: Look): void {
    if (made) void this.table.put(made.offset, made.lived);
    for (const { offset } of done) void this.table.remove(offset);
  }

  /** To be called when the transaction is on disk: brings the marks in memory up to date. */
  wrote({ made, done }: Look): void {
    const kept = this.marks.slice(done.length);
    this.marks = made ? [...kept, made] : kept;
  }
}
