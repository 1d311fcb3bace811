import { basename, join } from 'node:path';
import type { ReadFile } from './files.ts';
import { findMarker, NO_MARKER } from './find-marker.ts';
import {
  BLOCK_BYTES,
  decodeFooter,
  decodeHeader,
  type Footer,
  OtherFormat,
  RECORD_BYTES,
  type SegmentHeader,
} from './format.ts';
import { type Scanned, scan } from './scan.ts';
import { SegmentFile } from './segment-file.ts';
import type { Place } from './wanted.ts';

export interface Loaded {
  readonly closed: SegmentFile[];
  /** The last segment, when it can be written on. */
  readonly active: SegmentFile | undefined;
  /** No file of this name has a higher id, whatever is in it. */
  readonly lastId: number;
}

export interface SegmentsLoading {
  /** What the files' names begin with. */
  readonly name: string;
  /** As in SegmentFile.create, for the last one. */
  readonly ahead?: number;
  /** A file that is missing between others is a damage. */
  readonly isGapless?: boolean;
}

interface Neighbours {
  readonly after: SegmentHeader | undefined;
  readonly isLast: boolean;
  readonly before: SegmentFile | undefined;
  readonly ahead: number;
}

/** A segment's file before its records are looked at. */
interface FoundFile {
  /** As its header says, or else its name. */
  readonly id: number;
  readonly path: string;
  readonly header: SegmentHeader | undefined;
}

const DIGITS = 12;
const ENDING = '.seg';
/** What follows `NAME-` in the name of a segment's file, and of one that was begun. */
const ID_AND_ENDING = /^(\d{12})\.seg(\.tmp)?$/;

export function segmentName(name: string, id: number): string {
  return `${name}-${String(id).padStart(DIGITS, '0')}${ENDING}`;
}

/** The ids of the segments of this name, in order, and what was begun and never became one. */
export async function namesIn(
  { files, folder }: Place,
  name: string,
): Promise<{ ids: number[]; unfinished: string[] }> {
  const start = `${name}-`;
  const ids: number[] = [];
  const unfinished: string[] = [];
  for (const each of await files.list(folder)) {
    const match = each.startsWith(start) ? ID_AND_ENDING.exec(each.slice(start.length)) : null;
    if (match === null) continue;
    if (match[2] === undefined) ids.push(Number(match[1]));
    else unfinished.push(each);
  }
  return { ids: ids.sort((a, b) => a - b), unfinished };
}

/**
 * Finds the segments of this name in their folder. Of a segment without a footer all records are read, and it is
 * replaced by a synced copy; where that is refused, as on a full disk, it stays as it is. Damage and torn writes are
 * reported, with `isGapless` also a file that is not there. Rejects with OtherFormat, or the file system's error when
 * the folder or the last segment cannot be read.
 */
export async function loadSegments(
  place: Place,
  { name, ahead = 0, isGapless = false }: SegmentsLoading,
): Promise<Loaded> {
  const { ids, unfinished } = await namesIn(place, name);
  for (const each of unfinished) await place.files.remove(join(place.folder, each)).catch(() => {});
  const headers = ids.flatMap((id) => headerOf(place, name, id, id === ids.at(-1)) ?? []);
  const { files: found, copies } = inOrder(headers, name);
  for (const { id, path } of copies) {
    const what = `it is a copy of ${segmentName(name, id)}, or has its number: it is left alone`;
    place.report.damaged({ file: path, at: 0, bytes: 0, records: 0, what });
  }
  const lastId = Math.max(0, ...ids, ...found.map(({ id }) => id));
  const closed: SegmentFile[] = [];
  for (const [i, file] of found.entries()) {
    const isLast = i === found.length - 1;
    const before = closed.at(-1);
    const segment = await load(place, file, { after: found[i + 1]?.header, isLast, before, ahead });
    if (segment === undefined) continue;
    if (isGapless && before) reportGap(place, before, segment);
    if (isLast && segment.isWritable) return { closed, active: segment, lastId };
    closed.push(segment);
  }
  return { closed, active: undefined, lastId };
}

/** Undefined when the file cannot be read, after that was reported. The last one must be readable, for the numbers in it. */
function headerOf(place: Place, name: string, id: number, isLast: boolean): FoundFile | undefined {
  const path = join(place.folder, segmentName(name, id));
  try {
    const header = reading(place, path, (file) => decodeHeader(file.read(0, BLOCK_BYTES)));
    return { id: header?.id ?? id, path, header };
  } catch (error) {
    if (isLast || error instanceof OtherFormat) throw error;
    reportUnreadable(place, path, error);
    return undefined;
  }
}

/**
 * Files in the order in which they were written, by the ids in their headers: somebody who put files back may have given
 * one the name of another. Of two with one id, one is a copy.
 */
export function inOrder<F extends { readonly id: number; readonly path: string }>(
  found: readonly F[],
  name: string,
): { readonly files: readonly F[]; readonly copies: readonly F[] } {
  const byId = new Map<number, F>();
  const copies: F[] = [];
  for (const file of found) {
    const other = byId.get(file.id);
    const isNamedSo = basename(file.path) === segmentName(name, file.id);
    if (other === undefined || isNamedSo) byId.set(file.id, file);
    if (other !== undefined) copies.push(isNamedSo ? other : file);
  }
  return { files: [...byId.values()].sort((a, b) => a.id - b.id), copies };
}

function reportGap(place: Place, before: SegmentFile, { path, header }: SegmentFile): void {
  if (header.previous === undefined || header.previous.id === before.header.id) return;
  const records = header.first - before.summary.next;
  // A segment whose only write failed is dropped at once.
  if (records <= 0) return;
  place.report.damaged({ file: path, at: 0, bytes: 0, records, what: 'the file before it is not there' });
}

async function load(
  place: Place,
  { id, path, header }: FoundFile,
  { after, isLast, before, ahead }: Neighbours,
): Promise<SegmentFile | undefined> {
  const isFollowed = after?.previous?.id === id;
  const followed = isFollowed ? { end: after.previous?.end, last: after.first - 1 } : {};
  let read: { known: SegmentHeader; footer?: Footer; scanned?: Scanned };
  try {
    read = reading(place, path, (file) => {
      const footer = decodeFooter(file.read(Math.max(0, file.size - BLOCK_BYTES), BLOCK_BYTES));
      const known = header ?? guessedHeader(id, file, footer, before);
      if (footer?.marker === known.marker) return { known, footer };
      const first = header?.first ?? before?.summary.next;
      return { known, scanned: scan(file.read(0, file.size), known.marker, { ...followed, first }) };
    });
  } catch (error) {
    if (isLast) throw error;
    reportUnreadable(place, path, error);
    return undefined;
  }
  const { known, footer, scanned } = read;
  if (header === undefined) {
    place.report.damaged({ file: path, at: 0, bytes: BLOCK_BYTES, records: 0, what: 'the header is damaged' });
  }
  if (footer) return SegmentFile.closed(place, path, known, footer);
  if (scanned === undefined) return undefined;
  return await finished(place, path, known, scanned, { isLast, isWhole: header !== undefined, ahead });
}

/** What becomes of a segment without a footer. */
async function finished(
  place: Place,
  path: string,
  header: SegmentHeader,
  { records, holes, end, torn }: Scanned,
  { isLast, isWhole, ahead }: { isLast: boolean; isWhole: boolean; ahead: number },
): Promise<SegmentFile> {
  for (const hole of holes) place.report.damaged({ file: path, ...hole, what: 'records are damaged' });
  // Without its header and without one whole record nobody can say that it was never confirmed.
  const isAllLost = !isWhole && records.length === 0 && torn > 0;
  if (isAllLost) place.report.damaged({ file: path, at: end, bytes: torn, records: 1, what: 'no record is whole' });
  else if (torn > 0) place.report.torn(path, end, torn);
  // What is cut off may have been confirmed, if its bytes were damaged after that. So its numbers are not given again.
  const last = records.findLast(({ number }) => number >= 0)?.number ?? header.first - 1;
  const next = last + 1 + Math.ceil(torn / RECORD_BYTES);
  const unfinished = () => SegmentFile.unfinished(place, path, header, { records, end, next, isAllLost });
  if (holes.length > 0 || !isWhole) return unfinished();
  const options = { close: !isLast || torn > 0, next, replace: true, ahead };
  return await SegmentFile.create(place, basename(path), header, records, options).catch(unfinished);
}

/** Footer and records have the marker, too; what else a damaged header said is not needed to read them. */
function guessedHeader(
  id: number,
  file: ReadFile,
  footer: Footer | undefined,
  before: SegmentFile | undefined,
): SegmentHeader {
  const marker = footer?.marker ?? findMarker(file.read(0, file.size)) ?? NO_MARKER;
  return { format: 1, marker, id, first: before?.summary.next ?? 0 };
}

function reading<T>({ files }: Place, path: string, read: (file: ReadFile) => T): T {
  const file = files.open(path);
  try {
    return read(file);
  } finally {
    file.close();
  }
}

function reportUnreadable(place: Place, file: string, error: unknown): void {
  place.report.damaged({ file, at: 0, bytes: 0, records: 1, what: `it cannot be read (${error})` });
}
