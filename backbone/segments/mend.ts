import { basename } from 'node:path';
import type { Keep } from '../repair/part.ts';
import type { SegmentState } from './examine.ts';
import { examineSegment } from './examine-file.ts';
import type { SegmentRecord } from './format.ts';
import { SegmentFile } from './segment-file.ts';
import type { Place } from './wanted.ts';

/**
 * Writes a segment anew with the records of it that are whole: their numbers and times stay, and it gets header, index
 * and footer. The file as it was is kept first; the new one takes its place in one step. So whenever this is broken off
 * the old or the new one is there, and calling it again is right. Rejects with the file system's error.
 */
export async function mendSegment(
  place: Place,
  { id, path, neighbours, lost }: Pick<SegmentState, 'id' | 'path' | 'neighbours' | 'lost'>,
  keep: Keep,
): Promise<void> {
  const { header, scanned, next } = examineSegment(place.files, { id, path }, neighbours);
  await keep(path);
  const { previous, ...own } = header;
  // Of a file that is not there it need not be told any more.
  const anew = previous === undefined || lost.some(({ bytes }) => bytes === 0) ? own : { ...own, previous };
  const options = { close: true, next, replace: true };
  const records = inOrder(scanned.records, anew.first, neighbours.after?.first);
  const made = await SegmentFile.create(place, basename(path), anew, records, options);
  made.letGo();
}

/** Numbers that were given again after the damage mean the later records. */
function inOrder(records: readonly SegmentRecord[], first: number, end = Number.POSITIVE_INFINITY): SegmentRecord[] {
  let next = first;
  return records.filter(({ number }) => {
    if (number < 0) return true;
    if (number < next || number >= end) return false;
    next = number + 1;
    return true;
  });
}
