import type { Database } from 'lmdb';
import { z } from 'zod';

/** Where the log stood when it had been open for so long, ms: entries below `offset` were there by then. */
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

/** Marks in the length of an age: entries are kept for at most this part of it too long. */
const MARKS = 64;

/**
 * How old the entries of a log are that holds only copies, by the time that the log has been open. A machine's clock may be decades wrong, at
 * its start or for a while, and an age taken from it would remove what nobody can bring back. So it is never asked: time is counted by the
 * monotonic clock while the log is open, and kept in the log with marks of what was there when. A log is older than it knows, never younger.
 */
export class Ages {
  private readonly table: Database<unknown, number>;
  private readonly maxAgeMs: number;
  private readonly before: number;
  private readonly openedAt = performance.now();
  private marks: readonly Mark[];

  /** `before`: how long the log was open up to now, ms. Throws ZodError when the marks are none. */
  constructor(table: Database<unknown, number>, maxAgeMs: number, before: number) {
    this.table = table;
    this.maxAgeMs = maxAgeMs;
    this.before = before;
    this.marks = [...table.getRange()].map(({ key, value }) => ({ offset: key, lived: z.number().parse(value) }));
  }

  /** To be asked for each transaction; `next` is the offset of the first entry that it adds. */
  look(next: number): Look {
    const lived = this.before + performance.now() - this.openedAt;
    const newest = this.marks.at(-1);
    const isDue = newest === undefined || lived - newest.lived >= this.maxAgeMs / MARKS;
    // Where nothing was added there is nothing to mark: the mark that is there is the older one.
    const made = isDue && newest?.offset !== next ? { offset: next, lived } : undefined;
    const old = this.marks.findLastIndex((mark) => mark.lived <= lived - this.maxAgeMs);
    return { lived, oldBefore: this.marks[old]?.offset ?? 0, made, done: this.marks.slice(0, Math.max(0, old)) };
  }

  /** Puts what was looked at into the transaction under way. */
  write({ made, done }: Look): void {
    if (made) void this.table.put(made.offset, made.lived);
    for (const { offset } of done) void this.table.remove(offset);
  }

  /** The transaction is on disk. */
  wrote({ made, done }: Look): void {
    const kept = this.marks.slice(done.length);
    this.marks = made ? [...kept, made] : kept;
  }
}
