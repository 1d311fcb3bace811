import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DiskImage } from '../services/disk-image.ts';
import { output } from '../services/process.ts';
import { until } from '../services/wait.ts';
import type { Fault } from './fault.ts';
import type { Dice } from './random.ts';
import type { Role } from './role.ts';

/** `loam up` with everything that it keeps in `data`, on a disk that can be broken. */
export interface DiskPlace {
  readonly up: Role;
  readonly disk: DiskImage;
  readonly data: string;
  /** By the name of a fault, how often it happened, and what `/readyz` said meanwhile. */
  readonly troubles: Map<string, { times: number; readonly said: Set<string> }>;
}

const WATCH_MS = 100;
const WELL_MS = 90_000;

/** What can go wrong with a disk. Each fault resolves when `/readyz` says again that everything is well. */
export function diskFaults(place: DiskPlace): Fault[] {
  const { disk, up, data } = place;
  const faults: Record<string, (holdMs: number, dice: Dice, hold: () => Promise<void>) => Promise<void>> = {
    'kill -9': () => up.kill(),
    'power cut': async () => {
      await cutPower(place);
      await mended(place);
    },
    'disk full to the last byte': async (_ms, _dice, hold) => {
      await disk.fill(0);
      await hold();
      await disk.makeRoom();
    },
    'reserve of the disk in use': async (_ms, dice, hold) => {
      await disk.fill(dice.between(1e6, (await disk.free()) / 12));
      await hold();
      await disk.makeRoom();
    },
    'disk full, and kill -9 in the middle': async (holdMs, _dice, hold) => {
      await disk.fill(0);
      await delay(holdMs / 2);
      await up.killOnly();
      await hold();
      await disk.makeRoom();
      await up.ready();
    },
    'disk full, and a power cut in the middle': async (_ms, _dice, hold) => {
      await disk.fill(0);
      await hold();
      await cutPower(place);
      await up.killOnly(() => disk.mountAnew());
      await disk.makeRoom();
      await up.ready();
    },
    'no inodes left': async (_ms, _dice, hold) => {
      await disk.takeInodes();
      await hold();
      await disk.makeRoom();
    },
    'disk below it full': async (_ms, _dice, hold) => {
      await disk.fillBelow();
      await hold();
      await disk.makeRoomBelow();
      await mendedIfNeeded(place);
    },
    'writes fail for a moment': async (_ms, dice) => {
      await disk.failWrites();
      await delay(dice.between(10, 300));
      await disk.takeWrites();
      await mendedIfNeeded(place);
    },
    'writes fail for a moment, then a power cut': async (_ms, dice) => {
      await disk.failWrites();
      await delay(dice.between(10, 300));
      await disk.takeWrites();
      // What the page cache has, and the disk has not, shows now.
      await delay(dice.between(0, 1_000));
      await cutPower(place);
      await mended(place);
    },
    'writes fail until the disk is mended': async (_ms, _dice, hold) => {
      await disk.failWrites();
      await hold();
      await disk.takeWrites();
      await mended(place);
    },
    'file system becomes read-only': async (_ms, _dice, hold) => {
      await disk.becomeReadOnly();
      await hold();
      await mended(place);
    },
    'files may not grow': async (_ms, _dice, hold) => {
      await output('prlimit', ['--pid', String(up.pid), '--fsize=0:unlimited']);
      await hold();
      await output('prlimit', ['--pid', String(up.pid), '--fsize=unlimited:unlimited']);
    },
    'no file may be made in the queue': async (_ms, _dice, hold) => {
      await output('chattr', ['+i', join(data, 'queue/segments')]);
      await hold();
      await output('chattr', ['-i', join(data, 'queue/segments')]);
    },
    'the last file of the queue may not be written': async (_ms, _dice, hold) => {
      const file = await lastOf(join(data, 'queue/segments'));
      await output('chattr', ['+i', file]);
      await hold();
      await output('chattr', ['-i', file]);
    },
  };
  return Object.entries(faults).map(([name, happen]) => ({
    name,
    happen: async (holdMs, dice) => {
      const trouble = place.troubles.get(name) ?? { times: 0, said: new Set() };
      place.troubles.set(name, trouble);
      trouble.times += 1;
      await happen(holdMs, dice, () => watched(up, holdMs, trouble.said));
      await until(`all to be well after: ${name}`, () => isWell(up), { timeoutMs: WELL_MS, everyMs: WATCH_MS });
    },
  }));
}

/** The process goes with the power: it says nothing any more, whatever became of a call that was under way. */
async function cutPower({ up, disk }: DiskPlace): Promise<void> {
  await up.freeze();
  await disk.cutPower();
}

/** What somebody does who finds the disk broken: nothing of it is in use then. */
async function mended({ up, disk }: DiskPlace): Promise<void> {
  await up.kill(() => disk.mountAnew());
}

/** A file system that could not write its own tables takes no more writes. */
async function mendedIfNeeded(place: DiskPlace): Promise<void> {
  if (!(await place.disk.isWritable())) await mended(place);
}

async function isWell(up: Role): Promise<boolean> {
  const lines = await up.notReady();
  if (lines === undefined || lines.length > 0) throw new Error(lines?.join('; ') ?? 'nobody answers');
  return true;
}

/** Looks at `/readyz` for so long, and keeps the names of what it says is not ready. */
async function watched(up: Role, forMs: number, said: Set<string>): Promise<void> {
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    for (const line of (await up.notReady()) ?? []) said.add(line);
    await delay(WATCH_MS);
  }
}

async function lastOf(folder: string): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.startsWith('messages-') && name.endsWith('.seg'));
  return join(folder, files.sort().at(-1) ?? '');
}
