import { join } from 'node:path';
import { FolderGone, goneInWords } from '../files/held-folder.ts';
import { closeQuietly, type NewFile, type ReadFile, writeWhole } from './files.ts';
import {
  BLOCK_BYTES,
  decodeIndex,
  emptySummary,
  encodeEnd,
  encodeHeader,
  encodeRecords,
  FILLER,
  type Footer,
  type FoundRecord,
  indexOf,
  NOTE,
  type SegmentHeader,
  type SegmentRecord,
  type SegmentSummary,
  sizeOf,
} from './format.ts';
import { readRecords } from './read-records.ts';
import { scan } from './scan.ts';
import type { Place, ReadRecords, WantedRecords } from './wanted.ts';

/** A write that makes the file longer adds filler when it has at most this part of the filler's bytes. */
const PART_OF_AHEAD = 4;
/** Most bytes of a write that is put together in memory that is kept. */
const SCRATCH_BYTES = 2 ** 21;

/**
 * One segment file, as far as its records are confirmed: what it holds, where in the file, and whether more may be
 * written to it.
 */
export class SegmentFile {
  readonly path: string;
  header: SegmentHeader;
  summary: SegmentSummary;
  /** It had records, and none of them is whole. */
  isAllLost = false;
  private readonly place: Place;
  /** The CRC of the index in the file. While there is none, `built` is there. */
  private indexCrc: number | undefined;
  private built: number[] | undefined;
  private fromFile: Uint32Array | undefined;
  private written: NewFile | undefined;
  private buffer: Buffer | undefined;
  private ahead = 0;
  /** Of the file, with the filler. */
  private length = 0;
  private reading: ReadFile | undefined;

  private constructor(place: Place, path: string, header: SegmentHeader, summary: SegmentSummary) {
    this.place = place;
    this.path = path;
    this.header = header;
    this.summary = summary;
  }

  /** A segment with a footer: what that says. */
  static closed(place: Place, path: string, header: SegmentHeader, footer: Footer): SegmentFile {
    const segment = new SegmentFile(place, path, header, footer);
    segment.indexCrc = footer.indexCrc;
    return segment;
  }

  /** A segment without a footer that is not written to any more: the records that were found in it, which end at `end`. */
  static unfinished(
    place: Place,
    path: string,
    header: SegmentHeader,
    given: { records: readonly FoundRecord[]; end: number; next: number; isAllLost?: boolean },
  ): SegmentFile {
    const { records, end, next, isAllLost = false } = given;
    const segment = new SegmentFile(place, path, header, { ...emptySummary(header.first), next });
    segment.built = [];
    segment.isAllLost = isAllLost;
    for (const record of records) segment.add([record], record.at);
    segment.summary = { ...segment.summary, end };
    return segment;
  }

  /**
   * Makes a segment of these records, in one step: after a crash all of it is there, or nothing. It replaces the segment
   * that has its name. With `close` it gets its footer, otherwise more can be written to it. `next`: later records have
   * this number or a higher one. With `ahead` the file is made longer by so many bytes at once, for small writes: a write
   * where the file has blocks already is on disk sooner, and needs no change to the file system's tables. Rejects with the
   * file system's error. Then nothing of it is left, unless the file system refuses that too, and a segment that was to be
   * replaced is there as before.
   */
  static async create(
    place: Place,
    name: string,
    header: SegmentHeader,
    records: readonly SegmentRecord[],
    { close = false, next = header.first, replace = false, ahead = 0 } = {},
  ): Promise<SegmentFile> {
    const path = join(place.folder, name);
    const temporary = `${path}.tmp`;
    const file = await place.files.create(temporary);
    const segment = new SegmentFile(place, path, header, { ...emptySummary(header.first), next });
    segment.built = [];
    segment.add(records, BLOCK_BYTES);
    segment.ahead = ahead;
    segment.length = segment.summary.end + (close ? 0 : ahead);
    let made = temporary;
    let isWritable = !close;
    try {
      const parts = [encodeHeader(header), encodeRecords(records, header.marker, BLOCK_BYTES)];
      parts.push(close ? segment.end() : Buffer.alloc(ahead, FILLER));
      await writeWhole(file, Buffer.concat(parts), 0);
      await file.sync();
      await place.files.rename(temporary, path);
      made = path;
      await place.files.syncFolder(place.folder);
      await file.truncate(file.size);
      if (!close) assertAt(file, path);
    } catch (error) {
      // What replaced an older one of the same content is as good, whether or not its name is on disk.
      if (!(replace && made === path)) {
        closeQuietly(file);
        // What the path leads to then is not ours.
        if (!(error instanceof FolderGone)) await place.files.remove(made).catch(() => {});
        throw error;
      }
      isWritable = false;
    }
    if (isWritable) segment.written = file;
    else closeQuietly(file);
    return segment;
  }

  get isEmpty(): boolean {
    return this.summary.count === 0;
  }

  /** How many bytes the file takes, as far as they count. */
  get fileBytes(): number {
    return this.summary.end + (this.indexCrc === undefined ? 0 : indexOf(this.summary).length + BLOCK_BYTES);
  }

  get isWritable(): boolean {
    return this.written !== undefined;
  }

  /**
   * Writes the records and syncs them. When it rejects, with FolderGone or the file system's error, the records do not
   * count, and nothing may be written to this segment any more.
   */
  async append(records: readonly SegmentRecord[]): Promise<void> {
    const { written } = this;
    if (written === undefined) throw new Error(`${this.path} is closed`);
    const { end } = this.summary;
    const bytes = encodeRecords(records, this.header.marker, end, this.scratch());
    const isLonger = end + bytes.length > this.length;
    const ahead = isLonger && bytes.length <= this.ahead / PART_OF_AHEAD ? this.ahead : 0;
    await writeWhole(written, ahead > 0 ? Buffer.concat([bytes, Buffer.alloc(ahead, FILLER)]) : bytes, end);
    await written.sync();
    if (isLonger) {
      this.length = end + bytes.length + ahead;
      await written.truncate(this.length);
    }
    assertAt(written, this.path);
    this.add(records, end);
  }

  /**
   * Writes index and footer, and nothing after them. Rejects with the file system's error: then the segment is only
   * without them, and the next start reads it whole.
   */
  async close(): Promise<void> {
    const { written } = this;
    if (written === undefined) return;
    try {
      if (this.length > this.summary.end) await written.truncate(this.summary.end);
      await writeWhole(written, this.end(), this.summary.end);
      await written.sync();
    } catch (error) {
      this.indexCrc = undefined;
      throw error;
    } finally {
      this.giveUp();
    }
  }

  /** Nothing more is written to the file. What is confirmed stays readable. */
  giveUp(): void {
    if (this.written) closeQuietly(this.written);
    this.written = undefined;
    this.buffer = undefined;
  }

  /** Gives back what is only kept to read faster. */
  letGo(): void {
    if (this.reading) closeQuietly(this.reading);
    this.reading = undefined;
    if (this.indexCrc !== undefined && this.written === undefined) this.built = undefined;
    this.fromFile = undefined;
  }

  /** Opens the file for reading, so that it stays readable whatever its name becomes. Throws the file system's error. */
  hold(): void {
    this.index();
    this.file();
  }

  /** Where each record begins: `[i]` is of number `summary.first + i`; 0: not there. Throws the file system's error. */
  index(): ArrayLike<number> {
    if (this.built) return this.built;
    this.fromFile ??= this.indexInFile();
    if (this.fromFile) return this.fromFile;
    this.built = this.indexByReading();
    return this.built;
  }

  /** Throws the file system's error when the file cannot be opened. */
  read(wanted: WantedRecords): ReadRecords {
    const places = this.index();
    return readRecords({ file: this.file(), places, summary: this.summary, marker: this.header.marker }, wanted);
  }

  /** Takes over what `other` knows: the file was written anew under the same name. */
  become(other: SegmentFile): void {
    this.letGo();
    this.header = other.header;
    this.summary = other.summary;
    this.indexCrc = other.indexCrc;
    this.built = other.built;
    this.letGo();
  }

  private indexInFile(): Uint32Array | undefined {
    const { at, length } = indexOf(this.summary);
    return this.indexCrc === undefined ? undefined : decodeIndex(this.file().read(at, length), this.indexCrc);
  }

  /** The index of a file whose own one is damaged. From then on it is in memory. */
  private indexByReading(): number[] {
    const { summary, header, path, place } = this;
    const { records, holes } = scan(this.file().read(0, summary.end), header.marker, summary);
    const { at, length } = indexOf(summary);
    place.report.damaged({ file: path, at, bytes: length, records: 0, what: 'the index is damaged' });
    for (const hole of holes) place.report.damaged({ file: path, ...hole, what: 'records are damaged' });
    const found = SegmentFile.unfinished(place, path, header, { records, end: summary.end, next: summary.next });
    this.summary = found.summary;
    this.indexCrc = undefined;
    return found.built ?? [];
  }

  /** Used again for each write, of which there is one at a time: buffers of this size are costly to collect. */
  private scratch(): Buffer {
    this.buffer ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    return this.buffer;
  }

  private file(): ReadFile {
    if (this.written) return this.written;
    this.reading ??= this.place.files.open(this.path);
    return this.reading;
  }

  private add(records: readonly SegmentRecord[], at: number): void {
    const places = this.built ?? [];
    let { first, last, next, count, bytes, oldest, newest, end } = this.summary;
    end = at;
    for (const { number, time, body } of records) {
      if (number !== NOTE) {
        if (count === 0) first = number;
        while (places.length < number - first) places.push(0);
        places.push(end);
        oldest = count === 0 ? time : Math.min(oldest, time);
        count += 1;
        last = number;
        bytes += body.length;
        next = Math.max(next, number + 1);
      }
      newest = Math.max(newest, time);
      end += sizeOf(body.length);
    }
    this.summary = { first, last, next, count, bytes, oldest, newest, end };
  }

  private end(): Buffer {
    const { bytes, indexCrc } = encodeEnd(this.header.marker, this.summary, this.built ?? []);
    this.indexCrc = indexCrc;
    return bytes;
  }
}

/** Somebody may have deleted the folder, or moved it away, since it was looked at: then what was written is gone with it. */
function assertAt(file: NewFile, path: string): void {
  if (!file.isAt(path)) throw new FolderGone(goneInWords([path]));
}
