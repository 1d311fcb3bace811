import { randomUUID } from 'node:crypto';
import { type Clock, clock as machineClock } from '../../core/clock.ts';
import type { Disk, Use } from '../files/disk.ts';
import { type LogEntry, type LogLimits, MOST_PINNED } from '../ports/log.ts';
import { Segments } from './segments.ts';
import { EVERYTHING, type LostRecord, type Place } from './wanted.ts';

/** Where a log is. */
export interface LogFolder extends Place {
  readonly disk: Disk;
  readonly clock?: Clock;
}

export interface LogFileReading {
  readonly mostBytes?: number;
  readonly onLost?: (lost: LostRecord) => void;
}

/** A segment has this part of what the log may keep, in bytes and in time: so much too much, or too little, is kept. */
const PARTS_OF_BYTES = 16;
const PARTS_OF_AGE = 64;
const MOST_SEGMENT_BYTES = 32 * 2 ** 20;
/** What the names of a log's files begin with. */
export const ENTRIES = 'entries';

/**
 * The log on disk: entries in segments, numbered by offset. The header of each segment has the epoch, so trimming cannot
 * lose it. There is always a segment, also when all entries are trimmed: the offsets go on from there.
 *
 * Trimming drops whole segments. The machine's clock is looked at when the log is opened, and counts on from the newest entry when that is later;
 * from then on only the time that passes counts, however the clock is set. With `onlyCopy` it is not used at all, for
 * it may be wrong by decades, and what it would remove cannot be restored. The time of an entry is then how long the log
 * had been open in all: the monotonic clock counts while it is open, and the entries keep the sum.
 */
export class LogFile {
  private readonly segments: Segments;
  private readonly limits: LogLimits;
  private readonly clock: Clock;
  private readonly openedAt: number;
  /** With `onlyCopy`: how long the log had been open before this opening, ms, as far as it was written down. Otherwise when it was opened, Unix ms. */
  private readonly livedBefore: number;
  /** The oldest offset that may be read. While segments are dropped, it is ahead of them. */
  first: number;
  readonly epoch: string;

  private constructor(segments: Segments, limits: LogLimits, clock: Clock) {
    this.segments = segments;
    this.limits = limits;
    this.clock = clock;
    this.openedAt = clock.passed();
    this.livedBefore = Math.max(
      limits.onlyCopy ? 0 : clock.now(),
      ...segments.all().map(({ summary }) => summary.newest),
    );
    this.first = segments.first;
    segments.epoch ??= randomUUID();
    this.epoch = segments.epoch;
  }

  /**
   * Opens the log, gives a new one its epoch, and trims. Rejects with NoRoom, OtherFormat, or the file system's error.
   */
  static async open(place: LogFolder, limits: LogLimits): Promise<LogFile> {
    const { name, segmentBytes } = segmentsOf(limits);
    const { disk, clock = machineClock } = place;
    const file = new LogFile(
      await Segments.open(place, { name, segmentBytes: place.disk.partFor(segmentBytes), disk, isGapless: true }),
      limits,
      clock,
    );
    try {
      await file.commit([], 'done');
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Greater than every entry's offset. */
  get next(): number {
    return this.segments.next;
  }

  /**
   * Entries from `offset` on: at most `limit`, and none after the one with which they reach `mostBytes`. One that cannot be
   * read is left out, after `onLost` was told. Throws the file system's error, also what `onLost` throws.
   */
  read(
    offset: number,
    limit: number,
    { mostBytes = Number.POSITIVE_INFINITY, onLost = () => {} }: LogFileReading = {},
  ): LogEntry[] {
    const found = this.segments.read({ ...EVERYTHING, from: offset, limit, mostBytes }, onLost);
    return found.map(({ number, body }) => ({ offset: number, body }));
  }

  /** Appends in one write, and drops segments that are too old or too much. Rejects when nothing of it counts. */
  async commit(bodies: readonly Uint8Array[], use: Use = 'work'): Promise<void> {
    const now = this.now();
    const { last } = this.segments;
    const anew = last !== undefined && last.summary.oldest <= now - this.limits.maxAgeMs / PARTS_OF_AGE;
    await this.segments.append(bodies, now, use, {
      anew: anew && (bodies.length > 0 || this.isOld(last.summary.newest)),
    });
    await this.trim();
  }

  /** With `onlyCopy`: writes down how long the log has been open, and trims. Rejects as `commit` does. */
  async look(): Promise<void> {
    await this.commit([]);
    if (this.limits.onlyCopy) await this.segments.note(this.now(), 'work');
  }

  close(): void {
    this.segments.close();
  }

  private async trim(): Promise<void> {
    for (;;) {
      const [oldest, next] = this.segments.all();
      if (oldest === undefined || next === undefined || oldest === this.segments.last) return;
      const bytes = this.segments.all().reduce((sum, { fileBytes }) => sum + fileBytes, 0);
      const { maxBytes } = this.limits;
      if (bytes <= maxBytes && !this.isOld(oldest.summary.newest)) return;
      if (this.isNeeded(next.header.first) && bytes <= maxBytes * MOST_PINNED) return;
      // Set before: a reader must not be promised an entry that is being removed.
      this.first = next.header.first;
      // The entries are on disk in any case. What cannot be removed now is removed after a later append.
      const isGone = await this.segments.drop(oldest).then(
        () => true,
        () => false,
      );
      if (!isGone) return;
    }
  }

  /** Whether an entry before `offset` is needed. */
  private isNeeded(offset: number): boolean {
    const { pinned } = this.limits;
    return pinned !== undefined && offset > (pinned() ?? 0);
  }

  private isOld(time: number): boolean {
    return time < this.now() - this.limits.maxAgeMs;
  }

  private now(): number {
    return Math.floor(this.livedBefore + this.clock.passed() - this.openedAt);
  }
}

/** The name of a log's segments, and how long they become. */
export function segmentsOf({ maxBytes }: LogLimits) {
  return { name: ENTRIES, segmentBytes: Math.min(MOST_SEGMENT_BYTES, Math.ceil(maxBytes / PARTS_OF_BYTES)) };
}
