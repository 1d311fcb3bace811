import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { clock } from '../../core/clock.ts';
import type { Disk } from '../files/disk.ts';
import { deniedFor, type ReadFile } from './files.ts';
import { BLOCK_BYTES, decodeHeader, type SegmentRecord } from './format.ts';
import { namesIn, segmentName } from './load.ts';
import { scan } from './scan.ts';
import { SegmentFile } from './segment-file.ts';
import type { Place } from './wanted.ts';

/** What changes at once: the mark `handedOut`, messages that are done, and attempts of messages that failed. */
export interface MarkChanges {
  readonly handedOut: number;
  readonly done: readonly number[];
  /** Message and number of its attempts. */
  readonly failed: readonly (readonly [number, number])[];
}

/** All that is known of the messages beside their bodies. */
export interface AllMarks {
  /** No message had a higher number. */
  readonly newest: number;
  readonly handedOut: number;
  readonly attempts: Iterable<readonly [number, number]>;
  /** From one number to another, both included: every message there is done, or is gone. */
  readonly done: Iterable<readonly [number, number]>;
}

const pairs = z.array(z.tuple([z.number(), z.number()]));
const allSchema = z.object({ newest: z.number(), handedOut: z.number(), attempts: pairs, done: pairs });
const changesSchema = z.object({ handedOut: z.number(), done: z.array(z.number()), failed: pairs });

/** What the names of the files of marks begin with. */
export const MARKS = 'marks';
/** The file is begun anew when it has this many bytes, or this many times what it began with. */
const RENEW_BYTES = 2 ** 20;
const RENEW_TIMES = 4;

/**
 * What became of a queue's messages, in a segment of its own: first everything, then what has changed since, one record
 * a write. So a record is all there or not. The file is read whole at a start. When it is long, or when a write to it
 * failed, a new one is begun that begins with everything, and the old one is removed after that.
 */
export class QueueMarks {
  private readonly place: Place;
  private readonly disk: Disk;
  private readonly ahead: number;
  private active: SegmentFile | undefined;
  private older: number[];
  private lastId: number;
  private renewAt = RENEW_BYTES;

  private constructor(place: Place, disk: Disk, ids: readonly number[], ahead: number) {
    this.place = place;
    this.disk = disk;
    this.ahead = ahead;
    this.older = [...ids];
    this.lastId = ids.at(-1) ?? 0;
  }

  /**
   * Reads the marks; damage is reported. The file is made longer by `ahead` bytes at once. Nothing is written until the
   * first `write`. Rejects with ZodError when another version wrote them, or with the file system's error.
   */
  static async open(place: Place, disk: Disk, ahead = 0): Promise<{ marks: QueueMarks; all: AllMarks }> {
    const { ids, unfinished } = await namesIn(place, MARKS);
    for (const each of unfinished) await place.files.remove(join(place.folder, each)).catch(() => {});
    const marks = new QueueMarks(place, disk, ids, ahead);
    for (const id of ids.toReversed()) {
      const all = readMarks(place, join(place.folder, segmentName(MARKS, id)));
      if (all !== undefined) return { marks, all };
    }
    return { marks, all: { newest: 0, handedOut: 0, attempts: [], done: [] } };
  }

  /**
   * Resolves when the changes are on disk. `all` is everything as it was before them. Rejects with NoRoom or the file
   * system's error; then they may still come into force, at the next start. Not to be called again before the last call
   * has settled.
   */
  async write(changes: MarkChanges, all: () => AllMarks): Promise<void> {
    await this.disk.assertRoom('done');
    const { active } = this;
    await deniedFor(this.disk, 'done', async () => {
      if (active === undefined) await this.begin(all(), changes);
      else if (active.fileBytes < this.renewAt) await this.append(active, changes);
      else await this.renew(active, changes, all);
    });
  }

  close(): void {
    this.active?.giveUp();
  }

  private async append(active: SegmentFile, changes: MarkChanges): Promise<void> {
    try {
      await active.append([recordOf(active.summary.next, changes)]);
    } catch (error) {
      this.active = undefined;
      active.giveUp();
      throw error;
    }
  }

  private async renew(active: SegmentFile, changes: MarkChanges, all: () => AllMarks): Promise<void> {
    try {
      await this.begin(all(), changes);
      active.giveUp();
    } catch {
      // For example, there is no room for a second file now. The first one is whole, and longer than it need be.
      this.renewAt *= 2;
      await this.append(active, changes);
    }
  }

  private async begin({ newest, handedOut, attempts, done }: AllMarks, changes: MarkChanges): Promise<void> {
    const id = ++this.lastId;
    const header = { format: 1, marker: randomInt(1, 2 ** 32), id, first: 0 } as const;
    const all = { newest, handedOut, attempts: [...attempts], done: [...done] };
    const records = [recordOf(0, all), recordOf(1, changes)];
    const begun = await SegmentFile.create(this.place, segmentName(MARKS, id), header, records, { ahead: this.ahead });
    this.active = begun;
    this.renewAt = Math.max(RENEW_BYTES, RENEW_TIMES * begun.fileBytes);
    await this.removeOlder();
    this.older.push(id);
  }

  /** What cannot be removed now is removed when the next file is begun. */
  private async removeOlder(): Promise<void> {
    const left: number[] = [];
    for (const id of this.older) {
      await this.place.files.remove(join(this.place.folder, segmentName(MARKS, id))).catch(() => left.push(id));
    }
    this.older = left;
  }
}

function recordOf(number: number, value: unknown): SegmentRecord {
  return { number, time: clock.now(), body: Buffer.from(JSON.stringify(value)) };
}

/** Undefined when the file does not begin with everything, after that was reported. */
function readMarks(place: Place, path: string): AllMarks | undefined {
  const bytes = readAll(place.files.open(path));
  const header = decodeHeader(bytes.subarray(0, BLOCK_BYTES));
  const { records, holes, end, torn } = scan(bytes, header?.marker ?? 0);
  const [first, ...others] = records;
  if (header === undefined || first?.number !== 0) {
    const what = 'which messages are done cannot be read, they are delivered again';
    place.report.damaged({ file: path, at: 0, bytes: bytes.length, records: 1, what });
    return undefined;
  }
  for (const hole of holes) {
    place.report.damaged({ file: path, ...hole, what: 'marks are damaged, done messages are delivered again' });
  }
  if (torn > 0) place.report.torn(path, end, torn);
  const all = allSchema.parse(json(first));
  const attempts = new Map(all.attempts);
  const done = [...all.done];
  let { newest, handedOut } = all;
  for (const record of others) {
    const changes = changesSchema.parse(json(record));
    handedOut = changes.handedOut;
    for (const [message, count] of changes.failed) attempts.set(message, count);
    for (const message of changes.done) {
      done.push([message, message]);
      attempts.delete(message);
      newest = Math.max(newest, message);
    }
  }
  return { newest, handedOut, attempts, done };
}

function readAll(file: ReadFile): Buffer {
  try {
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

function json({ body }: SegmentRecord): unknown {
  return JSON.parse(Buffer.from(body).toString());
}
