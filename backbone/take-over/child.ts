import { z } from 'zod';
import { clock } from '../../core/clock.ts';
import { Disk } from '../files/disk.ts';
import { FileSystem } from '../files/file-system.ts';
import { USUAL_RESERVE } from '../files/reserve.ts';
import { DISK_FILES } from '../segments/files.ts';
import { NOTE, type SegmentRecord } from '../segments/format.ts';
import { QueueMarks } from '../segments/queue-marks.ts';
import { type WholeOptions, writeWholeSegments } from '../segments/whole.ts';
import type { OldFile } from './old-file.ts';
import { NO_PACKAGE } from './take-over.ts';

/** What is in the LMDB file, and how its segments are to be. */
export type Contents = z.infer<typeof contentsSchema>;

const contentsSchema = z.object({
  is: z.enum(['queue', 'log']),
  name: z.string(),
  segmentBytes: z.number(),
  /** Of a log: its times are how long it had been open, not the machine's clock. */
  onlyCopy: z.boolean(),
});

const queueState = z.object({ format: z.literal(1), handedOut: z.number() });
const logState = z.object({
  format: z.literal(1),
  epoch: z.string(),
  first: z.number(),
  next: z.number(),
  lived: z.number().optional(),
});

/** Reads the LMDB file `path` and writes what is in it as segments into the empty folder `into`. */
async function main(path: string, into: string, contents: Contents): Promise<void> {
  // Nobody waits for this any more when the process that began it is gone, and the next one begins again.
  process.stdin.on('end', () => process.exit(1)).resume();
  const old = await openOld(path);
  const place = { files: DISK_FILES, folder: into, report: { damaged: () => {}, torn: () => {} } };
  const said = contents.is === 'queue' ? await takeQueue(old, place, contents) : await takeLog(old, place, contents);
  await old.close();
  process.stdout.write(`${said}\n`);
  process.exit(0);
}

type IntoPlace = Parameters<typeof writeWholeSegments>[0];

/** Messages keep their numbers and attempts; one that a handler was at when the process ended has had one more. */
async function takeQueue(old: OldFile, place: IntoPlace, { name, segmentBytes }: Contents): Promise<string> {
  const { handedOut } = queueState.parse(old.value('state', 'queue') ?? { format: 1, handedOut: 0 });
  const attempts = new Map<number, number>();
  for (const [sequence, count] of old.values('attempts')) attempts.set(sequence, z.number().parse(count));
  let newest = 0;
  let count = 0;
  function* records(): Iterable<SegmentRecord> {
    for (const [number, body] of old.bodies('messages')) {
      if (number <= handedOut) attempts.set(number, (attempts.get(number) ?? 0) + 1);
      newest = number;
      count += 1;
      yield { number, time: clock.now(), body };
    }
  }
  const first = old.firstOf('messages') ?? 1;
  const next = (old.lastOf('messages') ?? 0) + 1;
  await writeWholeSegments(place, records(), { name, segmentBytes, first, next });
  const disk = new Disk(
    place.folder,
    new FileSystem(place.folder, {
      log: undefined,
      readRoom: async () => ({ total: 0, free: 0 }),
      reserve: USUAL_RESERVE,
    }),
  );
  const { marks } = await QueueMarks.open(place, disk);
  const all = { newest, handedOut: 0, attempts, done: [] };
  await marks.write({ handedOut: 0, done: [], failed: [] }, () => all);
  marks.close();
  return `${count} messages`;
}

/** Entries keep their offsets, and the log its epoch. */
async function takeLog(old: OldFile, place: IntoPlace, contents: Contents): Promise<string> {
  const stored = old.value('state', 'log');
  if (stored === undefined) return 'nothing';
  const { epoch, first, next, lived } = logState.parse(stored);
  const marks = contents.onlyCopy
    ? [...old.values('marks')].map(([at, time]) => ({ at, time: z.number().parse(time) }))
    : [];
  let mark = 0;
  const timeOf = (offset: number, written: number): number => {
    if (!contents.onlyCopy) return written;
    // A mark says when all entries below it were there. What is above the last one is as young as can be.
    while (mark < marks.length && (marks[mark]?.at ?? 0) <= offset) mark += 1;
    return marks[mark]?.time ?? lived ?? 0;
  };
  function* records(): Iterable<SegmentRecord> {
    for (const [number, value] of old.bodies('entries')) {
      yield { number, time: timeOf(number, value.readDoubleBE(0)), body: value.subarray(8) };
    }
    if (lived !== undefined) yield { number: NOTE, time: lived, body: Buffer.alloc(0) };
  }
  const options: WholeOptions = { name: contents.name, segmentBytes: contents.segmentBytes, first, next, epoch };
  return `${await writeWholeSegments(place, records(), options)} entries`;
}

async function openOld(path: string): Promise<OldFile> {
  try {
    return (await import('./old-file.ts')).openOldFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') process.exit(NO_PACKAGE);
    throw error;
  }
}

const [path, into, contents] = process.argv.slice(2);
if (path !== undefined && into !== undefined && contents !== undefined) {
  await main(path, into, contentsSchema.parse(JSON.parse(contents)));
}
