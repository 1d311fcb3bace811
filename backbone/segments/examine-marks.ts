import { join } from 'node:path';
import { explain } from '../../core/errors.ts';
import type { Damage } from '../files/damage.ts';
import type { Disk } from '../files/disk.ts';
import type { Keep } from '../repair/part.ts';
import type { SegmentFiles } from './files.ts';
import { namesIn, segmentName } from './load.ts';
import { type AllMarks, MARKS, QueueMarks } from './queue-marks.ts';

/** What a look at a queue's marks found. */
export interface ExaminedMarks {
  readonly paths: readonly string[];
  readonly unfinished: readonly string[];
  readonly damages: readonly Damage[];
  readonly tornBytes: number;
  /** Why they cannot be read at all, as when another version wrote them. */
  readonly refused: string | undefined;
  /** Whether a message is done. */
  isDone(message: number): boolean;
}

/** Where marks are. */
export interface MarksPlace {
  readonly files: SegmentFiles;
  readonly folder: string;
  readonly disk: Disk;
}

/** Reads a queue's marks; changes nothing. Rejects with the file system's error when the folder cannot be read. */
export async function examineMarks({ files, folder, disk }: MarksPlace): Promise<ExaminedMarks> {
  const damages: Damage[] = [];
  let tornBytes = 0;
  const report = {
    damaged: (damage: Damage) => void damages.push(damage),
    torn: (_file: string, _at: number, bytes: number) => {
      tornBytes += bytes;
    },
  };
  const { ids, unfinished } = await namesIn({ files, folder, report }, MARKS);
  const found = { paths: ids.map((id) => join(folder, segmentName(MARKS, id))), unfinished, damages };
  try {
    const { all } = await QueueMarks.open({ files: onlyToLook(files), folder, report }, disk);
    return { ...found, tornBytes, refused: undefined, isDone: doneOf(all) };
  } catch (error) {
    return { ...found, tornBytes, refused: explain(error), isDone: () => false };
  }
}

/**
 * Writes the marks anew, with what of them is whole; the files as they were are kept first. Rejects with NoRoom or the
 * file system's error; then all that was is there.
 */
export async function mendMarks({ files, folder, disk }: MarksPlace, keep: Keep): Promise<void> {
  const place = { files, folder, report: { damaged: () => {}, torn: () => {} } };
  for (const id of (await namesIn(place, MARKS)).ids) await keep(join(folder, segmentName(MARKS, id)));
  const { marks, all } = await QueueMarks.open(place, disk);
  await marks.write({ handedOut: all.handedOut, done: [], failed: [] }, () => all);
  marks.close();
}

function doneOf({ done }: AllMarks): (message: number) => boolean {
  // Later marks name one message each. Together they are no more than the start itself holds.
  const ranges = [...done].sort(([a], [b]) => a - b);
  const ends: number[] = [];
  for (const [, end] of ranges) ends.push(Math.max(end, ends.at(-1) ?? end));
  return (message) => {
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ranges[middle]?.[0] ?? 0) <= message) low = middle + 1;
      else high = middle;
    }
    return (ends[low - 1] ?? -1) >= message;
  };
}

/** The same files, of which none can be changed. */
function onlyToLook(files: SegmentFiles): SegmentFiles {
  const refuse = async () => {
    throw new Error('it is only looked at');
  };
  return {
    list: (folder) => files.list(folder),
    open: (path) => files.open(path),
    create: refuse,
    rename: refuse,
    remove: refuse,
    syncFolder: refuse,
  };
}
