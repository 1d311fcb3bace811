import { randomInt } from 'node:crypto';
import { type SegmentRecord, sizeOf } from './format.ts';
import { segmentName } from './load.ts';
import { SegmentFile } from './segment-file.ts';
import type { Place } from './wanted.ts';

export interface WholeOptions {
  readonly name: string;
  readonly segmentBytes: number;
  /** No record before this number was there, or it was trimmed. */
  readonly first: number;
  /** Records that are added later have this number or a higher one. */
  readonly next: number;
  readonly epoch?: string;
}

/**
 * Writes segments of records that are all there, in an empty folder, in order of their numbers. Resolves with how many
 * records they have when all are on disk. Rejects with the file system's error.
 */
export async function writeWholeSegments(
  place: Place,
  records: Iterable<SegmentRecord>,
  { name, segmentBytes, first, next, epoch }: WholeOptions,
): Promise<number> {
  let id = 0;
  let begin = first;
  let before: SegmentFile | undefined;
  let waiting: SegmentRecord[] = [];
  let bytes = 0;
  let count = 0;
  const write = async (after: number) => {
    id += 1;
    const header = {
      format: 1 as const,
      marker: randomInt(1, 2 ** 32),
      id,
      first: begin,
      ...(before && { previous: { id: before.header.id, end: before.summary.end } }),
      ...(epoch !== undefined && { epoch }),
    };
    before = await SegmentFile.create(place, segmentName(name, id), header, waiting, { close: true, next: after });
    begin = after;
    waiting = [];
    bytes = 0;
  };
  for (const record of records) {
    if (waiting.length > 0 && bytes + sizeOf(record.body.length) > segmentBytes) await write(record.number);
    waiting.push(record);
    bytes += sizeOf(record.body.length);
    if (record.number >= 0) count += 1;
  }
  await write(next);
  return count;
}
