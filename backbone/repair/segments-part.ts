import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Disks } from '../files/disk.ts';
import { type ExaminedFolder, examineFolder, type LostStretch, type SegmentState } from '../segments/examine.ts';
import { type ExaminedMarks, examineMarks, type MarksPlace, mendMarks } from '../segments/examine-marks.ts';
import { DISK_FILES, type SegmentFiles } from '../segments/files.ts';
import { mendSegment } from '../segments/mend.ts';
import { OLD, SEGMENTS } from '../take-over/take-over.ts';
import {
  bytesInWords,
  counted,
  eachOnce,
  type Keep,
  type KnownSensor,
  type LossFigures,
  type OnRepair,
  type RepairFinding,
  sensorsInWords,
  timesInWords,
} from './part.ts';
import { kindOfLog, kindOfQueue, type LogPart, PART_WORDS, type RecordPart } from './record-kinds.ts';

export interface SegmentsLook {
  readonly isKnown: KnownSensor;
  readonly onRepair: OnRepair;
  /** The disk's, unless a test puts another one in its place. */
  readonly files?: SegmentFiles;
}

/** What a look at a log or a queue found, and for who asks further: the records that are there. */
export interface SegmentsPart {
  readonly findings: readonly RepairFinding[];
  readonly found: ExaminedFolder | undefined;
}

/** Looks at all of a log's files. `folder` is the log's own. Rejects with the file system's error. */
export async function lookAtLog(part: LogPart, folder: string, look: SegmentsLook): Promise<SegmentsPart> {
  const absent = await absence(part, folder);
  if (absent) return { findings: [absent], found: undefined };
  const segments = join(folder, SEGMENTS);
  const files = look.files ?? DISK_FILES;
  const found = await examineFolder({ files, folder: segments }, kindOfLog(part), sayFiles(part, look));
  return { findings: findingsOf(part, segments, found, look), found };
}

/** Looks at all of a queue's files, its marks too. Rejects with the file system's error. */
export async function lookAtQueue(
  part: 'queue' | 'slow queue' | 'undated queue' | 'spool',
  folder: string,
  look: SegmentsLook,
): Promise<SegmentsPart> {
  const absent = await absence(part, folder);
  if (absent) return { findings: [absent], found: undefined };
  const segments = join(folder, SEGMENTS);
  const files = look.files ?? DISK_FILES;
  const place = { files, folder: segments, disk: await new Disks().at(segments) };
  const marks = await examineMarks(place);
  const found = await examineFolder({ files, folder: segments }, kindOfQueue(marks.isDone), sayFiles(part, look));
  return { findings: [...findingsOf(part, segments, found, look), ...marksFindings(part, place, marks)], found };
}

/** Why there is nothing to look at; undefined when there is. */
async function absence(part: RecordPart, folder: string): Promise<RepairFinding | undefined> {
  if (await isFolder(join(folder, SEGMENTS))) return undefined;
  const old = join(folder, OLD);
  const isOld = (await kindOf(old)) === 'file';
  const text = isOld
    ? 'an earlier version kept it in an LMDB file, which the next start takes over; it was not looked into'
    : 'not there: nothing was kept yet, or it was deleted';
  return { part, path: isOld ? old : folder, is: 'note', text };
}

function findingsOf(part: RecordPart, path: string, found: ExaminedFolder, look: SegmentsLook): RepairFinding[] {
  const words = PART_WORDS[part];
  const files = look.files ?? DISK_FILES;
  const faulty = found.segments.flatMap((segment) => faultOf(part, segment, files, look));
  const copies = found.copies.map((copy) => copyOf(part, copy, files));
  const torn = found.segments.flatMap((segment) => tornOf(part, segment, look));
  const sum = (of: (segment: SegmentState) => number) => found.segments.reduce((all, each) => all + of(each), 0);
  const records = sum(({ records }) => records);
  const needed = sum(({ needed }) => needed);
  const waiting = needed === records ? '' : needed === 0 ? ', all worked off,' : `, of which ${needed} wait,`;
  const since = found.oldest === undefined ? '' : `, written ${timesInWords(found.oldest, found.newest)}`;
  const text = `${counted(records, words.one, words.many)}${waiting} in ${counted(found.segments.length, 'file')} of ${bytesInWords(sum(({ fileBytes }) => fileBytes))} are whole${since}`;
  const figures = { whole: records, lost: 0, places: 0, bytes: 0, from: found.oldest, to: found.newest, sensors: [] };
  return [{ part, path, is: 'whole', text, figures }, ...faulty, ...copies, ...torn];
}

/** What is damaged in one file, with its mend. */
function faultOf(part: RecordPart, segment: SegmentState, files: SegmentFiles, look: SegmentsLook): RepairFinding[] {
  const { path, refused, faults, lost, fileBytes, records } = segment;
  if (refused !== undefined) {
    return [{ part, path, is: 'damaged', text: `nothing can be said of it, and it is left alone: ${refused}` }];
  }
  if (faults.length === 0 && lost.length === 0) return [];
  const words = PART_WORDS[part];
  const figures = figuresOf(segment);
  const folder = dirname(path);
  const place = { files, folder, report: { damaged: () => {}, torn: () => {} } };
  return [
    {
      part,
      path,
      is: 'damaged',
      text: [...faults, ...lostInWords(part, figures, lost, look)].join('; '),
      figures,
      mend: {
        folder,
        bytes: fileBytes,
        keeps: [path],
        run: async (keep) => {
          await mendSegment(place, segment, keep);
          return `written anew with ${counted(records, words.one, words.many)}`;
        },
      },
    },
  ];
}

/** A file with the number of another one, as when somebody copied it. */
function copyOf(part: RecordPart, path: string, files: SegmentFiles): RepairFinding {
  const folder = dirname(path);
  const run = async (keep: Keep) => {
    await keep(path);
    await files.remove(path);
    await files.syncFolder(folder);
    return 'taken away';
  };
  const text =
    'it is a copy of another file here, or has its number: Loam leaves it alone, and nothing is lost by that';
  return { part, path, is: 'damaged', text, mend: { folder, bytes: 0, keeps: [path], run } };
}

function figuresOf({ lost, records }: SegmentState): LossFigures {
  const sum = (of: (stretch: LostStretch) => number) => lost.reduce((all, stretch) => all + of(stretch), 0);
  return {
    whole: records,
    lost: sum(({ records }) => records),
    places: lost.filter(({ bytes }) => bytes > 0).length,
    bytes: sum(({ bytes }) => bytes),
    from: lost[0]?.after,
    to: lost.at(-1)?.before,
    sensors: eachOnce(lost.flatMap(({ sensors }) => sensors)),
  };
}

function lostInWords(
  part: RecordPart,
  figures: LossFigures,
  lost: readonly LostStretch[],
  look: SegmentsLook,
): string[] {
  if (lost.length === 0) return ['nothing is lost by that'];
  const words = PART_WORDS[part];
  const { places, bytes, from, to, sensors } = figures;
  const isGone = lost.some((stretch) => stretch.bytes === 0);
  const where = [
    ...(isGone ? ['the file before it is not there'] : []),
    ...(places > 0 ? [`${counted(places, 'place')} of ${counted(bytes, 'byte')} in all cannot be read`] : []),
  ].join(', and ');
  const done = lost.reduce((sum, stretch) => sum + stretch.done, 0);
  const also = done === 0 ? '' : ` (${done} more in them were worked off already)`;
  if (figures.lost === 0) return [`${where}: nothing is lost by that${also}`];
  const named = sensorsInWords(sensors, look.isKnown);
  const whose = named === '' ? ', and nobody can tell whose' : `, of at least ${named}`;
  const isOne = figures.lost === 1;
  return [
    `${where}: ${counted(figures.lost, words.one, words.many)} ${isOne ? 'is' : 'are'} lost${also}, written ${timesInWords(from, to)}${whose}: ${words.ifLost}`,
  ];
}

function tornOf(part: RecordPart, { path, torn }: SegmentState, look: SegmentsLook): RepairFinding[] {
  if (torn === undefined) return [];
  const named = sensorsInWords(torn.sensors, look.isKnown);
  const whose = named === '' ? '' : ` of ${named}`;
  const text = `at its end ${counted(torn.bytes, 'byte')}${whose} are a write that never ended, as a kill or a power cut leaves it: no loss, for nobody was told "received" (unless just these bytes were damaged after that, which cannot be told); the next start leaves it out`;
  return [{ part, path, is: 'note', text }];
}

function marksFindings(part: RecordPart, place: MarksPlace, marks: ExaminedMarks): RepairFinding[] {
  const { folder } = place;
  const { damages, paths, refused, tornBytes } = marks;
  const path = paths.at(-1) ?? folder;
  if (refused !== undefined) {
    const text = `which messages are worked off cannot be read, and is left alone: ${refused}`;
    return [{ part, path, is: 'damaged', text }];
  }
  const [first] = damages;
  if (first === undefined) {
    if (paths.length === 0) return [];
    const torn =
      tornBytes === 0 ? '' : `; at its end ${counted(tornBytes, 'byte')} are a write that never ended: no loss`;
    return [{ part, path, is: 'whole', text: `the marks of what is worked off are whole${torn}` }];
  }
  const bytes = damages.reduce((sum, damage) => sum + damage.bytes, 0);
  const text = `${counted(bytes, 'byte')} of the marks cannot be read, which say what is worked off: no message is lost; some are worked off again, which changes nothing, for the store takes each once`;
  return [
    {
      part,
      path: first.file,
      is: 'damaged',
      text,
      mend: {
        folder,
        bytes: MARKS_BYTES,
        keeps: paths,
        run: async (keep) => {
          await mendMarks(place, keep);
          return 'the marks that are whole were written anew';
        },
      },
    },
  ];
}

/** The marks of a full queue. */
const MARKS_BYTES = 4 * 2 ** 20;

function sayFiles(part: RecordPart, { onRepair }: SegmentsLook): (done: number, of: number) => void {
  return (done, of) => onRepair(`${part}: file ${done + 1} of ${of}`);
}

async function isFolder(path: string): Promise<boolean> {
  return (await kindOf(path)) === 'folder';
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}
