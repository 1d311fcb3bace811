import { clock } from '../../core/clock.ts';
import type { Disk } from '../files/disk.ts';
import { type AllMarks, QueueMarks } from './queue-marks.ts';
import { Unfinished } from './queue-unfinished.ts';
import type { SegmentFile } from './segment-file.ts';
import { aheadOf, Segments } from './segments.ts';
import { EVERYTHING, type LostRecord, type Place } from './wanted.ts';

/** What became of a message. `attempts` is how many deliveries of it have been begun. */
export type QueueChange =
  | { readonly is: 'done'; readonly sequence: number; readonly bytes: number; readonly attempts: number }
  | { readonly is: 'failed'; readonly sequence: number; readonly attempts: number }
  /** No handler is at work on a message now. */
  | { readonly is: 'rest' };

export interface StoredMessage {
  readonly sequence: number;
  readonly body: Uint8Array;
}

export const MESSAGES = 'messages';
export const QUEUE_SEGMENT_BYTES = 32 * 2 ** 20;
/** Segments may take twice what is not done, and so many segments more. Beyond that they are made smaller. */
const SPARE_SEGMENTS = 4;
const RETRY_MS = 1_000;

/**
 * The queue on disk: the messages in segments, by sequence number, and what became of them in a file of marks.
 *
 * Neither is ever changed, so a message is taken out by a mark. A segment without an unfinished message is dropped. One
 * long unfinished message would keep a whole segment: so when the segments take much more than what is unfinished in
 * them, the one with the most to gain is replaced by a copy of what is unfinished.
 *
 * A crash must count as an attempt of every message that a handler was working on, yet a first delivery should cost no
 * write of its own. So there is one mark, `handedOut`: no message above it has been handed to a handler. It moves forward
 * in writes that are made anyway, when an outcome is written, for as many messages as handlers will have room for, also
 * messages that are not there yet. When the queue is opened after a crash, every message up to the mark that is still
 * there has had one more attempt.
 */
export class QueueFile {
  private readonly disk: Disk;
  private readonly segmentBytes: number;
  private readonly segments: Segments;
  private readonly marks: QueueMarks;
  private readonly unfinished: Unfinished;
  private readonly attemptsOf: Map<number, number>;
  private readonly onUnreadable: () => void;
  /** Damaged messages, to be marked as done with the next marks. */
  private lost: number[] = [];
  private tidying: Promise<void> | undefined;
  private tidyAt = 0;
  private closing = false;
  /** No message above this one may be handed to a handler. */
  handedOut: number;

  private constructor(
    place: Pick<QueuePlace, 'disk' | 'segmentBytes' | 'onUnreadable'>,
    segments: Segments,
    marks: QueueMarks,
    all: AllMarks,
  ) {
    this.disk = place.disk;
    this.onUnreadable = place.onUnreadable ?? (() => {});
    this.segmentBytes = place.segmentBytes;
    this.segments = segments;
    this.marks = marks;
    this.handedOut = all.handedOut;
    this.attemptsOf = new Map(all.attempts);
    this.segments.skipTo(all.newest + 1);
    this.unfinished = new Unfinished(segments, all.done);
  }

  /** Rejects with NoRoom, OtherFormat, ZodError when another version wrote the marks, or the file system's error. */
  static async open(place: QueuePlace): Promise<QueueFile> {
    const { disk, segmentBytes } = place;
    const { marks, all } = await QueueMarks.open(place, disk, aheadOf(place));
    const segments = await Segments.open(place, { name: MESSAGES, segmentBytes, disk });
    const file = new QueueFile(place, segments, marks, all);
    try {
      await file.recover();
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get messages(): number {
    return this.unfinished.messages;
  }

  get bytes(): number {
    return this.unfinished.bytes;
  }

  /** The error for a publish that the disk's last check has no room for, counted as a refusal. */
  refusal(): Error | undefined {
    return this.disk.refusal('incoming');
  }

  /** Whether a message above this number waits. */
  waitsBehind(sequence: number): boolean {
    return this.unfinished.after(sequence) !== undefined;
  }

  /** Up to `limit` messages from `first` on that may be handed out. */
  read(first: number, limit: number): StoredMessage[] {
    for (;;) {
      const next = this.unfinished.after(first - 1, this.handedOut);
      if (next === undefined) return [];
      const found = this.readSome(next, this.handedOut, limit);
      if (found.length > 0) return found;
      // A message could not be read, and does not count any more. One that would be found again and again is left alone.
      if (this.unfinished.after(first - 1, this.handedOut) === next) this.leaveAlone(next);
    }
  }

  /** Undefined when the message is done, or cannot be read. */
  body(sequence: number): Uint8Array | undefined {
    return this.readSome(sequence, sequence, 1)[0]?.body;
  }

  attempts(sequence: number): number {
    return this.attemptsOf.get(sequence) ?? 0;
  }

  /** Resolves when the messages are on disk. Rejects with NoRoom or the file system's error; then none of them was kept. */
  async add(bodies: readonly Uint8Array[]): Promise<void> {
    await this.segments.append(bodies, clock.now(), bodies.length > 0 ? 'incoming' : 'done');
    this.unfinished.added(
      bodies.length,
      bodies.reduce((sum, { length }) => sum + length, 0),
    );
  }

  /**
   * Writes what became of messages. `room` is how many more messages handlers will have room for after it, beyond those
   * up to `cursor`. Resolves when it is on disk; rejects with NoRoom or the file system's error, and then it may come
   * into force at the next start.
   */
  async mark(changes: readonly QueueChange[], cursor: number, room: number): Promise<void> {
    const lost = this.lost.splice(0);
    const resting = changes.some(({ is }) => is === 'rest');
    const handedOut = resting && room === 0 ? 0 : this.handedOutAfter(cursor, room);
    const done = changes.flatMap((change) => (change.is === 'done' ? change.sequence : []));
    const failed = changes.flatMap((change) =>
      change.is === 'failed' ? [[change.sequence, change.attempts] as const] : [],
    );
    try {
      await this.marks.write({ handedOut, done: [...done, ...lost], failed }, () => this.all());
    } catch (error) {
      this.lost.push(...lost);
      throw error;
    }
    this.handedOut = handedOut;
    for (const [sequence, attempts] of failed)
      if (this.unfinished.has(sequence)) this.attemptsOf.set(sequence, attempts);
    for (const change of changes) {
      if (change.is !== 'done') continue;
      this.unfinished.finish(change.sequence, change.bytes);
      this.attemptsOf.delete(change.sequence);
    }
    this.tidy();
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.tidying;
    this.marks.close();
    this.segments.close();
  }

  private readSome(from: number, to: number, limit: number): StoredMessage[] {
    const wanted = (number: number) => this.unfinished.isReadable(number);
    try {
      const found = this.segments.read({ ...EVERYTHING, from, to, limit, wanted }, (lost) => this.lose(lost));
      return found.map(({ number, body }) => ({ sequence: number, body }));
    } catch {
      // The file of the first message cannot be opened. The others have their turn.
      this.leaveAlone(from);
      return [];
    }
  }

  /** A message whose bytes are wrong is gone. One that the file system does not give is tried again after the next start. */
  private lose({ number, bytes, cause }: LostRecord): void {
    if (cause !== undefined) {
      this.leaveAlone(number);
      return;
    }
    if (this.unfinished.isReadable(number)) this.onUnreadable();
    this.lost.push(number);
    this.unfinished.finish(number, bytes);
  }

  private leaveAlone(number: number): void {
    if (this.unfinished.isReadable(number)) this.onUnreadable();
    this.unfinished.skip(number);
  }

  /** The new `handedOut`. Where fewer messages wait than handlers have room for, it is ahead of the newest. */
  private handedOutAfter(cursor: number, room: number): number {
    if (room === 0) return this.handedOut;
    let last = cursor;
    for (let count = 0; count < room; count++) {
      const next = this.unfinished.after(last);
      if (next === undefined) return Math.max(this.handedOut, Math.max(last, this.segments.next - 1) + room - count);
      last = next;
    }
    return Math.max(this.handedOut, last);
  }

  private all(): AllMarks {
    const { handedOut, attemptsOf, unfinished, segments } = this;
    return { newest: segments.next - 1, handedOut, attempts: attemptsOf, done: unfinished.done() };
  }

  private async recover(): Promise<void> {
    const failed: [number, number][] = [];
    let next = this.unfinished.after(0, this.handedOut);
    for (; next !== undefined; next = this.unfinished.after(next, this.handedOut)) {
      failed.push([next, this.attempts(next) + 1]);
    }
    for (const sequence of this.attemptsOf.keys()) if (!this.unfinished.has(sequence)) this.attemptsOf.delete(sequence);
    await this.marks.write({ handedOut: 0, done: [], failed }, () => this.all());
    for (const [sequence, attempts] of failed) this.attemptsOf.set(sequence, attempts);
    this.handedOut = 0;
    this.tidy();
  }

  private tidy(): void {
    if (this.closing || this.tidying !== undefined || clock.passed() < this.tidyAt) return;
    if (this.finished() === undefined && this.wasteful() === undefined) return;
    this.tidying = this.tidyUp()
      .catch(() => {
        // The disk refuses it, which its own state tells. Nothing is lost; it is tried again with later marks.
        this.tidyAt = clock.passed() + RETRY_MS;
      })
      .finally(() => {
        this.tidying = undefined;
      });
  }

  private async tidyUp(): Promise<void> {
    while (!this.closing) {
      const finished = this.finished();
      const wasteful = this.wasteful();
      if (finished) {
        await this.segments.drop(finished);
        this.unfinished.forget(finished);
      } else if (wasteful) {
        const wanted = (number: number) => this.unfinished.has(number);
        await this.segments.shrink(wasteful, 'done', wanted, (lost) => this.lose(lost));
      } else return;
    }
  }

  private finished(): SegmentFile | undefined {
    // What was lost whole stays for who wants to look at it.
    return this.segments.finished.find((segment) => !segment.isAllLost && this.unfinished.of(segment).messages === 0);
  }

  /** The segment that has most to gain, when all take too much. Then there is one with more done than not. */
  private wasteful(): SegmentFile | undefined {
    const taken = this.segments.all().reduce((sum, { fileBytes }) => sum + fileBytes, 0);
    if (taken <= 2 * this.bytes + SPARE_SEGMENTS * this.segmentBytes) return undefined;
    const gain = (segment: SegmentFile) => segment.summary.bytes - this.unfinished.of(segment).bytes;
    const [most] = [...this.segments.finished].sort((a, b) => gain(b) - gain(a));
    return most && gain(most) > most.summary.bytes / 2 ? most : undefined;
  }
}

/** Where a queue is, and how large its segments become. */
export interface QueuePlace extends Place {
  readonly disk: Disk;
  readonly segmentBytes: number;
  /** Called once for each message that turns out to be one that cannot be handed out. */
  readonly onUnreadable?: (() => void) | undefined;
}
