import { join } from 'node:path';
import { explain } from '../../core/errors.ts';
import { type NamedSensor, sensorsIn } from '../../telemetry/salvage.ts';
import { type ExaminedSegment, examineSegment } from './examine-file.ts';
import { closeQuietly, type SegmentFiles } from './files.ts';
import { BLOCK_BYTES, decodeHeader, type FoundRecord, type SegmentHeader } from './format.ts';
import { inOrder, namesIn, segmentName } from './load.ts';
import type { Place } from './wanted.ts';

/** What is known of the records in a folder of segments by those who wrote them. */
export interface RecordKind {
  /** What the names of the files begin with. */
  readonly name: string;
  /** Files are only dropped from the old end: one that is missing between others is a loss. */
  readonly isGapless: boolean;
  /** When a record was written, Unix ms, where it tells. */
  timeOf(record: FoundRecord): number | undefined;
  /** Whether nobody needs the record with this number any more. */
  isDone(number: number): boolean;
}

/** Records that are lost, between two that are there. */
export interface LostStretch {
  readonly at: number;
  /** 0: the file with it is not there. */
  readonly bytes: number;
  /** How many are lost that somebody needs, as far as the numbers before and behind tell. */
  readonly records: number;
  /** Those that nobody needs any more. */
  readonly done: number;
  /** When the whole ones before and behind it were written, Unix ms. */
  readonly after: number | undefined;
  readonly before: number | undefined;
  /** Whom its bytes still name; at most MOST_NAMED. */
  readonly sensors: readonly NamedSensor[];
}

/** What a look at one file of segments found, without its bytes. */
export interface SegmentState {
  readonly id: number;
  readonly path: string;
  readonly fileBytes: number;
  readonly records: number;
  /** How many of them somebody still needs. */
  readonly needed: number;
  readonly lost: readonly LostStretch[];
  /** Other faults, in words: they cost no record. */
  readonly faults: readonly string[];
  /** The bytes of a write at the end that never ended, as far as they name anybody. */
  readonly torn: { readonly bytes: number; readonly sensors: readonly NamedSensor[] } | undefined;
  /** Why nothing of the file can be said; another version wrote it, or it cannot be opened. */
  readonly refused: string | undefined;
  readonly neighbours: Parameters<typeof examineSegment>[2];
}

export interface ExaminedFolder {
  readonly segments: readonly SegmentState[];
  /** Files with the number of another one, which are left alone. */
  readonly copies: readonly string[];
  /** Files that were begun and never became segments. */
  readonly unfinished: readonly string[];
  readonly oldest: number | undefined;
  readonly newest: number | undefined;
  readonly epoch: string | undefined;
  /** The smallest number that is there. */
  readonly first: number | undefined;
}

export const MOST_NAMED = 1_000;
/** So many records are asked for a time, which of some logs only the body tells. */
const MOST_ASKED = 20;
/** More records than a file has. */
const MOST_COUNTED = 10_000_000;

/** Reads every file of segments of a folder to its end; one is in memory at a time. Rejects with the file system's error. */
export async function examineFolder(
  { files, folder }: Pick<Place, 'files' | 'folder'>,
  kind: RecordKind,
  onFile: (done: number, of: number) => void = () => {},
): Promise<ExaminedFolder> {
  const { ids, unfinished } = await namesIn({ files, folder, report: SILENT }, kind.name);
  const found = ids.map((id) => {
    const path = join(folder, segmentName(kind.name, id));
    const header = headerOf(files, path);
    return { id: header?.id ?? id, path, header };
  });
  const ordered = inOrder(found, kind.name);
  const epoch = ordered.files.findLast(({ header }) => header?.epoch !== undefined)?.header?.epoch;
  const segments: SegmentState[] = [];
  let next: number | undefined;
  let before: { id: number; newest: number | undefined } | undefined;
  let oldest: number | undefined;
  let first: number | undefined;
  for (const [i, { id, path }] of ordered.files.entries()) {
    onFile(i, ids.length);
    const neighbours = { first: next, after: ordered.files[i + 1]?.header, epoch };
    try {
      const examined = examineSegment(files, { id, path }, neighbours);
      const { records } = examined.scanned;
      const [begin, end] = [timeIn(records, kind), timeIn(records.toReversed(), kind)];
      const gap = kind.isGapless && before ? missingBefore(examined, before, next, begin) : undefined;
      segments.push(stateOf(examined, kind, neighbours, gap, before?.newest));
      next = examined.next;
      before = { id, newest: end ?? before?.newest };
      oldest ??= begin;
      first ??= examined.header.first;
    } catch (error) {
      segments.push({ ...NOTHING, id, path, refused: explain(error), neighbours });
    }
    // What serves others has its turn between two files.
    await new Promise(setImmediate);
  }
  const copies = ordered.copies.map(({ path }) => path);
  return { segments, copies, unfinished, oldest, newest: before?.newest, epoch, first };
}

/** Undefined when it is damaged, cannot be read or is of another version: that is told when the file is read. */
function headerOf(files: SegmentFiles, path: string): SegmentHeader | undefined {
  try {
    const file = files.open(path);
    try {
      return decodeHeader(file.read(0, BLOCK_BYTES));
    } finally {
      closeQuietly(file);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return undefined;
  }
}

/** The first time that one of the first records tells. */
function timeIn(records: readonly FoundRecord[], kind: RecordKind): number | undefined {
  for (const record of records.slice(0, MOST_ASKED)) {
    const time = kind.timeOf(record);
    if (time !== undefined) return time;
  }
  return undefined;
}

/** The records of a file that is not there, when its follower tells of one. */
function missingBefore(
  { header }: ExaminedSegment,
  before: { readonly id: number; readonly newest: number | undefined },
  next: number | undefined,
  behind: number | undefined,
): LostStretch | undefined {
  if (header.previous === undefined || header.previous.id === before.id || next === undefined) return undefined;
  const records = Math.max(0, header.first - next);
  return { at: 0, bytes: 0, records, done: 0, after: before.newest, before: behind, sensors: [] };
}

function stateOf(
  examined: ExaminedSegment,
  kind: RecordKind,
  neighbours: SegmentState['neighbours'],
  gap: LostStretch | undefined,
  newestBefore: number | undefined,
): SegmentState {
  const { id, path, fileBytes, scanned, isHeaderWhole, isIndexWhole } = examined;
  const torn = scanned.torn > 0 ? { at: scanned.end, bytes: scanned.torn } : undefined;
  // Without its header and without one whole record nobody can say that it was never confirmed.
  const isAllLost = !isHeaderWhole && scanned.records.length === 0 && torn !== undefined;
  const places = isAllLost ? [...scanned.holes, { ...torn, records: 1 }] : scanned.holes;
  const holes = places.map((hole) => lostIn(examined, hole, kind, newestBefore));
  const numbers = scanned.records.flatMap(({ number }) => (number >= 0 ? number : []));
  const faults = [
    ...(isHeaderWhole ? [] : ['its header is damaged']),
    ...(isIndexWhole ? [] : ['its index is damaged']),
  ];
  return {
    id,
    path,
    fileBytes,
    records: numbers.length,
    needed: numbers.filter((number) => !kind.isDone(number)).length,
    lost: gap ? [gap, ...holes] : holes,
    faults,
    torn:
      torn && !isAllLost ? { bytes: torn.bytes, sensors: sensorsIn(examined.bytesOf(torn), MOST_NAMED) } : undefined,
    refused: undefined,
    neighbours,
  };
}

function lostIn(
  examined: ExaminedSegment,
  { at, bytes, records }: { readonly at: number; readonly bytes: number; readonly records: number },
  kind: RecordKind,
  newestBefore: number | undefined,
): LostStretch {
  const { scanned, header } = examined;
  const before = scanned.records.findLast((record) => record.at < at);
  const behind = scanned.records.find((record) => record.at > at);
  const numbered = scanned.records.findLast((record) => record.at < at && record.number >= 0);
  const from = (numbered?.number ?? header.first - 1) + 1;
  let done = 0;
  for (let number = from; number < from + Math.min(records, MOST_COUNTED); number++) if (kind.isDone(number)) done += 1;
  return {
    at,
    bytes,
    records: records - done,
    done,
    after: (before && kind.timeOf(before)) ?? newestBefore,
    before: behind && kind.timeOf(behind),
    sensors: sensorsIn(examined.bytesOf({ at, bytes }), MOST_NAMED),
  };
}

const SILENT = { damaged: () => {}, torn: () => {} };

const NOTHING = { fileBytes: 0, records: 0, needed: 0, lost: [], faults: [], torn: undefined };
