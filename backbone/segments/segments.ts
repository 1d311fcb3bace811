import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import type { Disk, Use } from '../files/disk.ts';
import { deniedFor } from './files.ts';
import { NOTE, type SegmentRecord, sizeOf, sizeOfAll } from './format.ts';
import { type Loaded, loadSegments, segmentName } from './load.ts';
import { SegmentFile } from './segment-file.ts';
import { EVERYTHING, type LostRecord, type Place, type ReadRecords, type WantedRecords } from './wanted.ts';

export interface SegmentsOptions {
  /** What the files' names begin with. */
  readonly name: string;
  /** A segment that would be longer is closed, and a new one begun. */
  readonly segmentBytes: number;
  readonly disk: Disk;
  /** Segments are only dropped from the old end: one that is missing between others is a damage. */
  readonly isGapless?: boolean;
}

/** The last segment is made longer by so much at once, at most. */
const MOST_AHEAD_BYTES = 128 * 1_024;
/** And by at most this part of a segment. */
const AHEAD_PARTS = 16;
/** Most segments of which a file is open for reading, and the index in memory. */
const MOST_READ = 8;
/** Most damaged records that are named: each is read again and again. */
const MOST_REPORTED = 10_000;

/**
 * Numbered records on a disk that may fail at any moment.
 *
 * They lie in files, the segments, one after the other. Only the last one is written to, at its end, by one writer. Many
 * records go in one write and one sync; they are confirmed when the sync has succeeded, and only then do they exist for
 * readers. When a segment is full it is closed with an index and a footer, and the next one begins. Old segments are
 * dropped whole.
 *
 * After a write or sync that failed nobody knows what of it the disk has, and a later sync may report success all the
 * same. So such a segment is never written to again: the next records begin a new segment, and its header says where the
 * confirmed records of the one before end. What lies behind that was never confirmed and does not count. The numbers of
 * a failed write are not given again.
 *
 * A segment begins to exist in one step: it is written and synced under another name, renamed, and the folder is synced.
 * So a segment has a whole header, or it was damaged; and a full disk, which refuses new segments all the time, leaves
 * none behind.
 *
 * At a start, headers and footers tell what there is. Segments without a footer are read whole (`scan`): the last one
 * of every run, and those whose write failed. Such a segment is then replaced, in the same way in which segments are
 * made, by a copy that is synced: what this process has read may be in memory only, when a sync failed before. The copy
 * of the last one is written on.
 *
 * A record is checked by its CRC at each reading. Damage is named, with what is lost, and the rest is read on; a damaged
 * file is left as it is until its records are not needed any more.
 *
 * In memory: about 300 bytes a segment, 8 bytes a record of the last one, and the indexes of those that were read last.
 */
export class Segments {
  private readonly place: Place;
  private readonly options: SegmentsOptions;
  private readonly closed: SegmentFile[];
  private readonly recent: SegmentFile[] = [];
  private readonly held = new Set<SegmentFile>();
  /** Numbers of damaged records, and paths of files that cannot be read. */
  private readonly reported = new Set<number | string>();
  private active: SegmentFile | undefined;
  private lastId: number;
  /** No record has this number or a higher one. */
  private unused: number;
  /** Greater than every confirmed record's number. */
  next: number;
  /** Goes into the header of every segment that is begun from now on; as the last segment that has one says. */
  epoch: string | undefined;

  private constructor(place: Place, options: SegmentsOptions, { closed, active, lastId }: Loaded) {
    this.place = place;
    this.options = options;
    this.closed = closed;
    this.active = active;
    this.lastId = lastId;
    const all = this.all();
    this.next = Math.max(0, ...all.map(({ summary }) => summary.next));
    this.unused = this.next;
    this.epoch = all.findLast(({ header }) => header.epoch !== undefined)?.header.epoch;
  }

  /**
   * Reads what is there; makes nothing. Rejects with OtherFormat, or the file system's error when the folder or the last
   * segment cannot be read.
   */
  static async open(place: Place, options: SegmentsOptions): Promise<Segments> {
    return new Segments(place, options, await loadSegments(place, { ...options, ahead: aheadOf(options) }));
  }

  /** Every segment, the oldest first. The last one may be the one that is written to. */
  all(): readonly SegmentFile[] {
    return this.active ? [...this.closed, this.active] : this.closed;
  }

  /** The segments that are not written to, the oldest first. */
  get finished(): readonly SegmentFile[] {
    return this.closed;
  }

  /** The one that is written to. */
  get last(): SegmentFile | undefined {
    return this.active;
  }

  /** No record is gone that has this number or a higher one. */
  get first(): number {
    return (this.closed[0] ?? this.active)?.header.first ?? this.next;
  }

  /** Numbers below this one are not given to new records. */
  skipTo(number: number): void {
    this.unused = Math.max(this.unused, number);
    this.next = Math.max(this.next, number);
  }

  /**
   * Adds records, numbered in their order; with none, makes sure that a segment is there to write to. Resolves when they
   * are on disk. Rejects with NoRoom or the file system's error; then none of them counts. Not to be called again before
   * the last call has settled.
   */
  async append(bodies: readonly Uint8Array[], time: number, use: Use, { anew = false } = {}): Promise<void> {
    const { disk, segmentBytes } = this.options;
    await disk.assertRoom(use);
    const records = bodies.map((body, i) => ({ number: this.unused + i, time, body }));
    this.unused += records.length;
    const bytes = sizeOfAll(records);
    const { active } = this;
    const isFull = active !== undefined && !active.isEmpty && (anew || active.fileBytes + bytes > segmentBytes);
    await deniedFor(disk, use, async () => {
      if (isFull) await this.finish();
      if (this.active === undefined) await this.begin(records);
      else if (records.length > 0) await this.write(this.active, records);
    });
    if (records.length > 0) this.next = this.unused;
  }

  /** Keeps a time, without a record, when there is a segment to write it to. Resolves and rejects as `append` does. */
  async note(time: number, use: Use): Promise<void> {
    const { disk } = this.options;
    await disk.assertRoom(use);
    const { active } = this;
    if (active === undefined) return;
    await deniedFor(disk, use, () => this.write(active, [{ number: NOTE, time, body: Buffer.alloc(0) }]));
  }

  /**
   * The records that are wanted. One that cannot be read is left out, after `onLost` was told. Throws the file system's
   * error when the file with the first of them cannot be opened.
   */
  read(wanted: WantedRecords, onLost: (lost: LostRecord) => void = () => {}): SegmentRecord[] {
    const all = this.all();
    const found: SegmentRecord[] = [];
    let { limit, mostBytes } = wanted;
    const begin = all.findIndex(({ isEmpty, summary }) => !isEmpty && summary.last >= wanted.from);
    for (const segment of begin < 0 ? [] : all.slice(begin)) {
      if (limit <= 0 || mostBytes <= 0 || segment.header.first > wanted.to) break;
      if (segment.isEmpty) continue;
      const { records, lost } = this.readOf(segment, { ...wanted, limit, mostBytes }, found.length > 0);
      for (const record of records) {
        found.push(record);
        limit -= 1;
        mostBytes -= sizeOf(record.body.length);
      }
      for (const one of lost) {
        this.reportLost(segment, one);
        onLost(one);
      }
    }
    return found;
  }

  /** Removes a finished segment. Resolves when it is gone also after a power cut; rejects with the file system's error. */
  async drop(segment: SegmentFile): Promise<void> {
    await this.place.files.remove(segment.path);
    await this.place.files.syncFolder(this.place.folder);
    const index = this.closed.indexOf(segment);
    if (index >= 0) this.closed.splice(index, 1);
    segment.letGo();
  }

  /**
   * Replaces a finished segment by a copy that has only the records for which `wanted` is true; one that is damaged is
   * left out, after `onLost` was told. Rejects with NoRoom or the file system's error; then the segment is as it was.
   */
  async shrink(
    segment: SegmentFile,
    use: Use,
    wanted: (number: number) => boolean,
    onLost: (lost: LostRecord) => void,
  ): Promise<void> {
    const { disk } = this.options;
    await disk.assertRoom(use);
    this.held.add(segment);
    try {
      segment.hold();
      const { records, lost } = segment.read({ ...EVERYTHING, wanted });
      const unreadable = lost.find(({ cause }) => cause !== undefined);
      if (unreadable) throw unreadable.cause;
      const { header, path, summary } = segment;
      const options = { close: true, next: summary.next, replace: true };
      segment.become(
        await deniedFor(disk, use, () => SegmentFile.create(this.place, basename(path), header, records, options)),
      );
      for (const one of lost) {
        this.reportLost(segment, one);
        onLost(one);
      }
    } finally {
      this.held.delete(segment);
    }
  }

  /** Begins a new segment, when the last one has records. Rejects as `append` does. */
  async beginAnew(time: number, use: Use): Promise<void> {
    await this.append([], time, use, { anew: true });
  }

  /** Closes the files. To be called when no write is under way. */
  close(): void {
    this.active?.giveUp();
    for (const segment of this.all()) segment.letGo();
  }

  private async write(active: SegmentFile, records: readonly SegmentRecord[]): Promise<void> {
    try {
      await active.append(records);
    } catch (error) {
      active.giveUp();
      this.active = undefined;
      this.closed.push(active);
      if (active.isEmpty) await this.drop(active).catch(() => {});
      throw error;
    }
  }

  /** Closes the active segment. Without a footer it is only read whole at the next start. */
  private async finish(): Promise<void> {
    const { active } = this;
    if (active === undefined) return;
    this.active = undefined;
    this.closed.push(active);
    await active.close().catch(() => {});
  }

  private async begin(records: readonly SegmentRecord[]): Promise<void> {
    const before = this.closed.at(-1);
    this.lastId += 1;
    this.active = await SegmentFile.create(
      this.place,
      segmentName(this.options.name, this.lastId),
      {
        format: 1,
        marker: randomInt(1, 2 ** 32),
        id: this.lastId,
        first: this.next,
        ...(before && { previous: { id: before.header.id, end: before.summary.end } }),
        ...(this.epoch !== undefined && { epoch: this.epoch }),
      },
      records,
      { next: this.next, ahead: aheadOf(this.options) },
    );
  }

  private readOf(segment: SegmentFile, wanted: WantedRecords, isLater: boolean): ReadRecords {
    this.touch(segment);
    try {
      return segment.read(wanted);
    } catch (error) {
      // What was read of earlier segments is given first; the next call begins here.
      if (isLater) return { records: [], lost: [] };
      this.reportUnreadable(segment, error);
      throw error;
    }
  }

  private reportLost({ path }: SegmentFile, { number, at, bytes, cause }: LostRecord): void {
    if (this.reported.has(number) || this.reported.size >= MOST_REPORTED) return;
    this.reported.add(number);
    const what = cause === undefined ? `record ${number} is damaged` : `record ${number} cannot be read (${cause})`;
    this.place.report.damaged({ file: path, at, bytes, records: 1, what });
  }

  private reportUnreadable({ path, summary }: SegmentFile, error: unknown): void {
    if (this.reported.has(path)) return;
    this.reported.add(path);
    const { end: bytes, count: records } = summary;
    this.place.report.damaged({ file: path, at: 0, bytes, records, what: `it cannot be read (${error})` });
  }

  /** Keeps the number of files and indexes in memory small. */
  private touch(segment: SegmentFile): void {
    if (this.recent.at(-1) === segment) return;
    const index = this.recent.indexOf(segment);
    if (index >= 0) this.recent.splice(index, 1);
    this.recent.push(segment);
    while (this.recent.length > MOST_READ) {
      const oldest = this.recent.shift();
      if (oldest && !this.held.has(oldest)) oldest.letGo();
    }
  }
}

/** By how many bytes a segment that may become so long is made longer at once. */
export function aheadOf({ segmentBytes }: { readonly segmentBytes: number }): number {
  return Math.min(MOST_AHEAD_BYTES, Math.floor(segmentBytes / AHEAD_PARTS));
}
