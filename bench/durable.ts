import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { GroupCommit } from '../backbone/segments/group-commit.ts';
import { openFileQueue } from '../backbone/segments/queue.ts';
import type { Benchmark, BenchmarkOptions, Outcome } from './outcome.ts';
import { byTurns, type Contender, type Run, row } from './turns.ts';

/** Of a batch of 256 publishes of about 80 bytes. */
const BODY = Buffer.alloc(20_000, 'x');
const IN_FLIGHT = 64;
const PREFETCH = 16;
const WAITING = 200_000;

/** Something that keeps messages on disk until they are taken out. */
interface Durable {
  /** Resolves when the message is on disk. */
  publish(body: Buffer): Promise<void>;
  /** Takes messages out from now on, each durably; `onDone` is called for each. */
  workOff(onDone: () => void): Promise<void>;
  close(): Promise<void>;
}

/**
 * Batches that are on disk in a second of one process: by Loam's segments, and by LMDB with the same group commit. With
 * `worked off` each is taken out again at the same time.
 */
export const durable: Benchmark = {
  name: 'durable',
  about: 'batches of 20 kB that are on disk in a second, beside LMDB; and a start with 200,000 waiting',

  async run({ quick, say }: BenchmarkOptions): Promise<Outcome> {
    const count = quick ? 2_000 : 8_000;
    const contenders = [true, false].flatMap((isWorkedOff): Contender[] => {
      const what = isWorkedOff ? ', worked off' : '';
      return [
        { name: `segments${what}`, measure: () => measure(openSegments, count, isWorkedOff) },
        { name: `lmdb${what}`, measure: () => measure(openLmdb, count, isWorkedOff) },
      ];
    });
    const summaries = await byTurns(contenders, quick ? 2 : 5, (name, round, { figure }) =>
      say(`${name}, round ${round}: ${Math.round(figure)} batches/s`),
    );
    const figure = (name: string) => summaries.get(name)?.median ?? Number.NaN;
    return {
      bench: 'durable',
      unit: 'batches/s',
      loam: figure('segments, worked off'),
      peers: { lmdb: figure('lmdb, worked off') },
      ratio: { lmdb: figure('segments, worked off') / figure('lmdb, worked off') },
      detail: {
        ...Object.fromEntries([...summaries].map(([name, summary]) => [name, row(summary)])),
        'start with messages waiting': await start(quick ? WAITING / 10 : WAITING, say),
      },
    };
  },
};

async function measure(
  openIn: (folder: string) => Promise<Durable>,
  count: number,
  isWorkedOff: boolean,
): Promise<Run> {
  return await inFolder(async (folder) => {
    const queue = await openIn(folder);
    const begin = performance.now();
    let done = 0;
    const allDone = new Promise<void>((resolve) => {
      if (!isWorkedOff) return resolve();
      void queue.workOff(() => {
        if (++done === count) resolve();
      });
    });
    await publishAll(queue, count);
    await allDone;
    const figure = (count / (performance.now() - begin)) * 1_000;
    await queue.close();
    return { figure };
  });
}

async function publishAll(queue: Pick<Durable, 'publish'>, count: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next++ < count) await queue.publish(BODY);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

async function openSegments(folder: string): Promise<Durable> {
  const queue = await openFileQueue(folder);
  return {
    publish: (body) => queue.publish(body),
    workOff: async (onDone) => {
      // A message is done when its mark is on disk, which the next delivery waits for.
      await queue.consume(async () => onDone(), { prefetch: PREFETCH });
    },
    close: () => queue.close(),
  };
}

/** LMDB as an embedded queue uses it: many changes in one durable transaction, while another one is written. */
async function openLmdb(folder: string): Promise<Durable> {
  const root = open<Buffer, number>({
    path: join(folder, 'data.mdb'),
    noSubdir: true,
    encoding: 'binary',
    overlappingSync: false,
    eventTurnBatching: false,
  });
  const table = root.openDB<Buffer, number>({ name: 'messages', encoding: 'binary' });
  let newest = 0;
  let taken = 0;
  let held = 0;
  let written = 0;
  let onDone: (() => void) | undefined;
  const commits = new GroupCommit<number>(async (changes) => {
    await root.batch(() => {
      for (const change of changes) void (change > 0 ? table.put(change, BODY) : table.remove(-change));
    });
    for (const change of changes) written = Math.max(written, change);
    pump();
  });
  const pump = () => {
    while (onDone !== undefined && held < PREFETCH && taken < written) {
      held += 1;
      void takeOut(++taken, onDone);
    }
  };
  const takeOut = async (number: number, tell: () => void) => {
    if (table.get(number)?.length !== BODY.length) throw new Error(`message ${number} is not there`);
    await commits.add(-number);
    held -= 1;
    tell();
    pump();
  };
  return {
    publish: () => commits.add(++newest, BODY.length),
    workOff: async (tell) => {
      onDone = tell;
      pump();
    },
    close: async () => {
      await commits.end();
      await root.close();
    },
  };
}

/** How long a queue with so many messages takes to open, and how much memory. */
async function start(messages: number, say: (progress: string) => void): Promise<Record<string, number>> {
  return await inFolder(async (folder) => {
    const first = await openFileQueue(folder);
    await publishAll(first, messages);
    await first.close();
    say(`${messages} messages wait`);
    globalThis.gc?.();
    const before = process.memoryUsage.rss();
    const begin = performance.now();
    const queue = await openFileQueue(folder);
    const ms = performance.now() - begin;
    globalThis.gc?.();
    const megabytes = (process.memoryUsage.rss() - before) / 1e6;
    await queue.close();
    return { messages, ms, megabytes };
  });
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'loam-bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
