import { crc32 } from 'node:zlib';
import { z } from 'zod';

/**
 * The bytes of a segment file:
 *
 *     header, 512 bytes | record | record | … | index | footer, 512 bytes
 *
 * Index and footer are there in a closed segment only. In one that is written to, filler may follow the records: bytes 0xff.
 Header and footer are JSON behind a word, a CRC and a length, so
 * that `head -c 512` and `tail -c 512` show them to a person. Numbers are little-endian.
 *
 * A record is 32 bytes and its body. It begins with the segment's marker, a random number: that is how the next whole
 * record is found behind damage, and nobody who sends a message can put a record of his own inside it. Its `group` is
 * the place in the file where the write began that brought it. All before that place was synced before that write.
 *
 *     marker u32 | CRC u32 of all that follows | length of the body u32 | group u32 | number f64 | time f64 | body
 */
export interface SegmentRecord {
  readonly number: number;
  /** Unix ms, or what the writer takes for a time. */
  readonly time: number;
  readonly body: Uint8Array;
}

/** A record as it lies in a file, `size` bytes from `at` on. */
export interface FoundRecord extends SegmentRecord {
  readonly at: number;
  readonly size: number;
  readonly group: number;
}

/** The number of a record that only tells a time. It is in no index. */
export const NOTE = -1;

export const BLOCK_BYTES = 512;
export const RECORD_BYTES = 32;
export const FILLER = 0xff;
const BYTES_PER_PLACE = 4;

const headerSchema = z.object({
  format: z.literal(1),
  marker: z.number(),
  id: z.number(),
  /** No earlier segment has records from this number on. */
  first: z.number(),
  /** The segment before, and where its synced records ended: behind that is what was never confirmed. */
  previous: z.object({ id: z.number(), end: z.number() }).optional(),
  epoch: z.string().optional(),
});
export type SegmentHeader = z.infer<typeof headerSchema>;

const summarySchema = z.object({
  /** The smallest and largest number; of an empty segment `last` is below `first`. */
  first: z.number(),
  last: z.number(),
  /** Later records have this number or a higher one. */
  next: z.number(),
  count: z.number(),
  /** Of the bodies. */
  bytes: z.number(),
  oldest: z.number(),
  newest: z.number(),
  /** Where the records end in the file. */
  end: z.number(),
});
export type SegmentSummary = z.infer<typeof summarySchema>;

export function emptySummary(first: number): SegmentSummary {
  return { first, last: first - 1, next: first, count: 0, bytes: 0, oldest: 0, newest: 0, end: BLOCK_BYTES };
}

const footerSchema = summarySchema.extend({ marker: z.number(), indexCrc: z.number() });

const HEADER_WORD = 'LOAMSEG1';
const FOOTER_WORD = 'LOAMEND1';

/** A header that another version wrote. */
export class OtherFormat extends Error {
  constructor(format: unknown) {
    super(`a segment has format ${String(format)}, which another version of Loam wrote; this version has format 1`);
    this.name = 'OtherFormat';
  }
}

export function encodeHeader(header: SegmentHeader): Buffer {
  return encodeBlock(HEADER_WORD, header);
}

/** Undefined when the bytes are no whole header. Throws OtherFormat. */
export function decodeHeader(bytes: Buffer): SegmentHeader | undefined {
  const found = decodeBlock(HEADER_WORD, bytes);
  if (found === undefined) return undefined;
  const parsed = headerSchema.safeParse(found);
  if (parsed.success) return parsed.data;
  throw new OtherFormat(z.object({ format: z.unknown() }).safeParse(found).data?.format);
}

/** The index and the footer of a segment. `places[i]` is where the record `summary.first + i` begins; 0: not there. */
export function encodeEnd(marker: number, summary: SegmentSummary, places: ArrayLike<number>) {
  const index = Buffer.alloc(places.length * BYTES_PER_PLACE);
  for (let i = 0; i < places.length; i++) index.writeUInt32LE(places[i] ?? 0, i * BYTES_PER_PLACE);
  const indexCrc = crc32(index);
  return { bytes: Buffer.concat([index, encodeBlock(FOOTER_WORD, { ...summary, marker, indexCrc })]), indexCrc };
}

export type Footer = z.infer<typeof footerSchema>;

/** Undefined when the bytes are no whole footer. */
export function decodeFooter(bytes: Buffer): Footer | undefined {
  return footerSchema.safeParse(decodeBlock(FOOTER_WORD, bytes)).data;
}

/** The places in an index; undefined when its CRC is wrong. */
export function decodeIndex(bytes: Buffer, crc: number): Uint32Array | undefined {
  if (crc32(bytes) !== crc) return undefined;
  return Uint32Array.from({ length: bytes.length / BYTES_PER_PLACE }, (_, i) =>
    bytes.readUInt32LE(i * BYTES_PER_PLACE),
  );
}

/** Where the index begins and how long it is, behind records that end at `end`. */
export function indexOf({ first, last, end }: SegmentSummary): { readonly at: number; readonly length: number } {
  return { at: end, length: (last - first + 1) * BYTES_PER_PLACE };
}

export function sizeOf(bodyBytes: number): number {
  return RECORD_BYTES + bodyBytes;
}

/** How many bytes the records take. */
export function sizeOfAll(records: readonly SegmentRecord[]): number {
  return records.reduce((sum, { body }) => sum + sizeOf(body.length), 0);
}

/** Records one after the other, to be written at `group` of the segment with this marker; in `into` when they fit. */
export function encodeRecords(
  records: readonly SegmentRecord[],
  marker: number,
  group: number,
  into: Buffer = Buffer.alloc(0),
): Buffer {
  const size = sizeOfAll(records);
  const bytes = size <= into.length ? into.subarray(0, size) : Buffer.allocUnsafe(size);
  let at = 0;
  for (const { number, time, body } of records) {
    const end = at + sizeOf(body.length);
    bytes.writeUInt32LE(marker, at);
    bytes.writeUInt32LE(body.length, at + 8);
    bytes.writeUInt32LE(group, at + 12);
    bytes.writeDoubleLE(number, at + 16);
    bytes.writeDoubleLE(time, at + 24);
    bytes.set(body, at + RECORD_BYTES);
    bytes.writeUInt32LE(crc32(bytes.subarray(at + 8, end)), at + 4);
    at = end;
  }
  return bytes;
}

/** The record at `at`, when there is a whole one with the right CRC. Its body is a window on `bytes`. */
export function decodeRecord(bytes: Buffer, at: number, marker: number): FoundRecord | undefined {
  if (at + RECORD_BYTES > bytes.length || bytes.readUInt32LE(at) !== marker) return undefined;
  const size = sizeOf(bytes.readUInt32LE(at + 8));
  if (at + size > bytes.length) return undefined;
  if (crc32(bytes.subarray(at + 8, at + size)) !== bytes.readUInt32LE(at + 4)) return undefined;
  return {
    at,
    size,
    group: bytes.readUInt32LE(at + 12),
    number: bytes.readDoubleLE(at + 16),
    time: bytes.readDoubleLE(at + 24),
    body: bytes.subarray(at + RECORD_BYTES, at + size),
  };
}

function encodeBlock(word: string, value: unknown): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const json = Buffer.from(JSON.stringify(value));
  if (json.length > BLOCK_BYTES - 16) throw new Error(`${json.length} bytes are too many for a block`);
  block.write(word, 0, 'latin1');
  block.writeUInt32LE(crc32(json), 8);
  block.writeUInt32LE(json.length, 12);
  json.copy(block, 16);
  return block;
}

function decodeBlock(word: string, block: Buffer): unknown {
  if (block.length < BLOCK_BYTES || block.toString('latin1', 0, 8) !== word) return undefined;
  const length = block.readUInt32LE(12);
  if (length > BLOCK_BYTES - 16) return undefined;
  const json = block.subarray(16, 16 + length);
  return crc32(json) === block.readUInt32LE(8) ? JSON.parse(json.toString()) : undefined;
}
