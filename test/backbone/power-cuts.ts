import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { openSpool } from '../../backbone/spool/spool.ts';
import { silent } from '../../core/logger.ts';
import type { Dice } from '../chaos/random.ts';
import type { DiskImage } from '../services/disk-image.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { startChild } from './child-process.ts';

/** Something that keeps what it confirms in a folder. */
export interface CutPart {
  readonly script: string;
  readonly task: string;
  /** Whether a look leaves there what it found. */
  readonly keeps: boolean;
  /** The numbers that are there, in order. */
  look(folder: string): Promise<number[]>;
}

export interface CutResult {
  cuts: number;
  confirmed: number;
  /** Numbers that were confirmed and are not there. */
  readonly missing: number[];
  /** Numbers that are there twice, or again after they were taken out. */
  readonly doubled: number[];
}

export const CUT_PARTS = {
  'a queue': { script: 'child-queue-file.ts', task: 'write', keeps: false, look: inQueue },
  'a queue that is worked off': { script: 'child-queue-file.ts', task: 'write-and-take', keeps: false, look: inQueue },
  'a log': { script: 'child-log-file.ts', task: 'write', keeps: true, look: inLog },
  'a spool': { script: 'child-spool.ts', task: 'write', keeps: false, look: inSpool },
} satisfies Readonly<Record<string, CutPart>>;

/**
 * How the disk ends: it loses power; or the file system finds itself damaged and takes no more changes to its tables,
 * while the process goes on, until it is mounted anew. The second is of ext4 only.
 */
export type CutKind = 'power' | 'damage';

/** So many cuts are of one folder. */
const CUTS_A_FOLDER = 4;
const BODY_BYTES = 4_000;
/** How long a process is heard after its file system has found itself damaged, ms: what it confirms then counts. */
const HEARD_MS = 100;

/**
 * A process writes numbers to the part on this disk and says which were confirmed to it. Meanwhile the disk ends, so many
 * times, each at another moment, and what is there afterwards is compared with what was confirmed.
 */
export async function cutsOf(
  disk: DiskImage,
  part: CutPart,
  cuts: number,
  dice: Dice,
  kind: CutKind = 'power',
): Promise<CutResult> {
  const result: CutResult = { cuts: 0, confirmed: 0, missing: [], doubled: [] };
  const folder = join(disk.folder, 'part');
  let known = new Set<number>();
  let first = 0;
  while (result.cuts < cuts) {
    if (result.cuts % CUTS_A_FOLDER === 0) {
      await rm(folder, { recursive: true, force: true });
      known = new Set();
    }
    const lines = await writtenUntilCut(disk, part, { kind, folder, first, dice });
    const confirmed = lines.filter((line) => !line.startsWith('taken')).map(Number);
    const taken = new Set(lines.flatMap((line) => (line.startsWith('taken') ? [Number(line.slice(6))] : [])));
    for (const number of confirmed) known.add(number);
    const found = await part.look(folder);
    const there = new Set(found);
    const isOld = (number: number) => !part.keeps && number < first;
    result.missing.push(...[...known].filter((number) => !there.has(number) && !taken.has(number)));
    result.doubled.push(...found.filter((number, i) => found.indexOf(number) !== i || isOld(number)));
    result.cuts += 1;
    result.confirmed += confirmed.length;
    first = Math.max(first, ...confirmed, ...found) + 1;
    if (!part.keeps) known.clear();
  }
  return result;
}

/** What the process had printed when the disk ended, and said afterwards. */
async function writtenUntilCut(
  disk: DiskImage,
  { script, task }: CutPart,
  { kind, folder, first, dice }: { kind: CutKind; folder: string; first: number; dice: Dice },
): Promise<string[]> {
  const env = { TASK: task, FIRST: String(first), SIZE: String(BODY_BYTES), QUEUE_DIR: folder, LOG_DIR: folder };
  const child = await startChild({ script, env });
  try {
    const enough = Math.floor(dice.between(1, 1_500));
    await until(`${enough} lines`, () => child.lines().length >= enough, { timeoutMs: 120_000 });
    await delay(dice.between(0, 10));
    if (kind === 'damage') {
      await disk.becomeReadOnly();
      await delay(HEARD_MS);
      return child.lines();
    }
    // It is told nothing any more when the power is gone. What a call says that was under way then is for nobody.
    await child.freeze();
    const lines = child.lines();
    await disk.cutPower();
    return lines;
  } finally {
    await child.kill();
    await disk.mountAnew();
  }
}

const numberOf = (body: Uint8Array) => Number(Buffer.from(body).toString().trim());

async function inQueue(folder: string): Promise<number[]> {
  return await takenOut(await openFileQueue(folder));
}

async function takenOut(queue: Queue): Promise<number[]> {
  const found: number[] = [];
  await queue.consume(async ({ body }) => void found.push(numberOf(body)), { prefetch: 1 });
  await until('an empty queue', async () => (await queue.depth()) === 0, { timeoutMs: 60_000 });
  await queue.close();
  return found;
}

async function inLog(folder: string): Promise<number[]> {
  const log = await openFileLog(folder, 'log', LIVE_LOG_LIMITS);
  const found: number[] = [];
  let entries = await log.read('first', 1_000);
  for (let last = entries.at(-1); last !== undefined; last = entries.at(-1)) {
    found.push(...entries.map(({ body }) => numberOf(body)));
    entries = await log.read({ offset: last.offset + 1 }, 1_000);
  }
  await log.close();
  return found;
}

async function inSpool(folder: string): Promise<number[]> {
  const far = await temporaryFolder();
  const options = { dir: folder, maxBytes: 10 ** 9, openFar: () => openFileQueue(far), log: silent };
  const spool = await openSpool(options);
  await until('everything to be forwarded', () => spool.spooled === 0, { timeoutMs: 60_000 });
  return await takenOut(spool);
}
