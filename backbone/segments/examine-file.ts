import type { ReadFile, SegmentFiles } from './files.ts';
import { findMarker, NO_MARKER } from './find-marker.ts';
import {
  BLOCK_BYTES,
  decodeFooter,
  decodeHeader,
  decodeIndex,
  type Footer,
  indexOf,
  RECORD_BYTES,
  type SegmentHeader,
} from './format.ts';
import { type Scanned, scan } from './scan.ts';

/** A segment's file as a look from its beginning to its end found it. */
export interface ExaminedSegment {
  readonly id: number;
  readonly path: string;
  readonly fileBytes: number;
  /** As the file says, or as it has to be for the records that are there. */
  readonly header: SegmentHeader;
  readonly isHeaderWhole: boolean;
  readonly footer: Footer | undefined;
  /** False: there is one, and it is damaged. */
  readonly isIndexWhole: boolean;
  readonly scanned: Scanned;
  /** Later records have this number or a higher one. */
  readonly next: number;
  /** The bytes of a damaged place, with zeros where the file system does not give them. */
  bytesOf(place: { readonly at: number; readonly bytes: number }): Uint8Array;
}

/** What the files before and behind tell of a segment. */
export interface SegmentNeighbours {
  /** Greater than every number in the segments before. */
  readonly first: number | undefined;
  readonly after: SegmentHeader | undefined;
  /** The log's, as the other segments have it. */
  readonly epoch: string | undefined;
}

/** A segment has 32 MiB and one write; what a file has beyond this is not ours. */
const MOST_FILE_BYTES = 256 * 2 ** 20;
/** So much is read at once when the file system does not give a file whole. */
const PIECE_BYTES = 2 ** 16;

/**
 * Reads a segment whole, at most 256 MiB of it, and checks every record, whether it has a footer or not. What the file
 * system does not give counts as damaged. Throws OtherFormat, or the file system's error when the file cannot be opened.
 */
export function examineSegment(
  files: SegmentFiles,
  { id, path }: { readonly id: number; readonly path: string },
  { first, after, epoch }: SegmentNeighbours,
): ExaminedSegment {
  const { bytes, size } = readPatiently(files, path);
  const inFile = decodeHeader(bytes.subarray(0, BLOCK_BYTES));
  const lastBlock = decodeFooter(bytes.subarray(Math.max(0, bytes.length - BLOCK_BYTES)));
  const marker = inFile?.marker ?? lastBlock?.marker ?? findMarker(bytes) ?? NO_MARKER;
  const footer = lastBlock?.marker === marker ? lastBlock : undefined;
  const isFollowed = after?.previous?.id === id;
  const followed = isFollowed ? { end: after.previous?.end, last: after.first - 1 } : {};
  const begin = inFile?.first ?? first;
  const scanned = scan(bytes, marker, footer ?? { ...followed, first: begin });
  const numbers = scanned.records.filter(({ number }) => number >= 0);
  const header = inFile ?? {
    format: 1 as const,
    marker,
    id,
    first: begin ?? footer?.first ?? numbers[0]?.number ?? after?.first ?? 0,
    ...(epoch !== undefined && { epoch }),
  };
  // As at a start: what is cut off may have been confirmed, so its numbers are not given again.
  const behind = (numbers.at(-1)?.number ?? header.first - 1) + 1;
  const doubtful = footer ? 0 : scanned.torn;
  const next = footer?.next ?? (isFollowed ? after.first : behind + Math.ceil(doubtful / RECORD_BYTES));
  return {
    id,
    path,
    fileBytes: size,
    header,
    isHeaderWhole: inFile !== undefined,
    footer,
    isIndexWhole: footer === undefined || isIndexWhole(bytes, footer),
    scanned,
    next: Math.max(behind, next),
    bytesOf: ({ at, bytes: length }) => Buffer.from(bytes.subarray(at, at + length)),
  };
}

function isIndexWhole(bytes: Buffer, footer: Footer): boolean {
  const { at, length } = indexOf(footer);
  return decodeIndex(bytes.subarray(at, at + length), footer.indexCrc) !== undefined;
}

/** The file's bytes. Pieces that the file system does not give are zeros, which no record is made of. */
function readPatiently(files: SegmentFiles, path: string): { bytes: Buffer; size: number } {
  const file = files.open(path);
  try {
    const { size } = file;
    return { bytes: readAllOf(file, Math.min(size, MOST_FILE_BYTES)), size };
  } finally {
    file.close();
  }
}

function readAllOf(file: ReadFile, length: number): Buffer {
  try {
    return file.read(0, length);
  } catch {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += PIECE_BYTES) {
      try {
        bytes.set(file.read(at, Math.min(PIECE_BYTES, length - at)), at);
      } catch {
        // It stays zeros.
      }
    }
    return bytes;
  }
}
