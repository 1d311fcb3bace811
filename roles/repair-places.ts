import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FolderInUse, lockBy, lockFolder, lockFolderToLook, lockToLook } from '../backbone/files/folder-lock.ts';
import { isEmbedded, registryFile } from '../backbone/open.ts';
import type { LogPart } from '../backbone/repair/record-kinds.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { DATA_LOCK } from './data-folder.ts';
import { pathOf } from './room-to-start.ts';

/** Where on this machine an installation keeps what. */
export interface RepairPlaces {
  readonly data: string;
  /** Undefined: a server keeps it. */
  readonly registry: string | undefined;
  readonly queues: readonly {
    readonly part: 'queue' | 'slow queue' | 'undated queue' | 'spool';
    readonly folder: string;
  }[];
  readonly logs: readonly { readonly part: LogPart; readonly folder: string }[];
  readonly store: string | undefined;
}

const LOGS: Readonly<Record<string, LogPart>> = {
  live: 'live log',
  dead: 'dead-letter log',
  events: 'event log',
  refusals: 'log of refusals',
  commands: 'commands log',
  clocks: 'log of clocks',
  sources: 'log of sources',
  trials: 'log of trials',
};

export function repairPlaces({ data, registry, queue, log, store, spool }: Config): RepairPlaces {
  const file = registryFile(registry);
  const inQueue = isEmbedded(queue) ? resolve(pathOf(queue)) : undefined;
  const inLog = isEmbedded(log) ? resolve(pathOf(log)) : undefined;
  return {
    data: resolve(data),
    registry: file === undefined ? undefined : resolve(file),
    queues: [
      ...(inQueue === undefined
        ? []
        : [
            { part: 'queue', folder: inQueue } as const,
            { part: 'slow queue', folder: join(inQueue, 'slow') } as const,
            { part: 'undated queue', folder: join(inQueue, 'undated') } as const,
          ]),
      ...(spool === undefined ? [] : [{ part: 'spool', folder: resolve(pathOf(spool)) } as const]),
    ],
    logs: inLog === undefined ? [] : Object.entries(LOGS).map(([name, part]) => ({ part, folder: join(inLog, name) })),
    store: isEmbedded(store) ? resolve(pathOf(store)) : undefined,
  };
}

/**
 * Takes everything that is there for this process alone; resolves with the function that gives it back. `toLook`: the
 * lock files are not made and not changed. Rejects with ConfigInvalid when Loam runs, or when a folder cannot be locked.
 */
export async function lockPlaces(places: RepairPlaces, toLook: boolean): Promise<() => Promise<void>> {
  const held: (() => void | Promise<void>)[] = [];
  const release = async () => {
    for (const one of held.splice(0)) await one();
  };
  const byFile = async (lockFile: string, what: string) => {
    held.push(toLook ? lockToLook(lockFile, what) : await lockBy(lockFile, what));
  };
  try {
    await byFile(join(places.data, DATA_LOCK), places.data);
    for (const { folder } of [...places.queues, ...places.logs]) {
      if (!(await isFolder(folder))) continue;
      held.push(toLook ? await lockFolderToLook(folder) : await lockFolder(folder));
    }
    if (places.store !== undefined && (await isFolder(dirname(places.store)))) {
      const file = join(await realpath(dirname(places.store)), basename(places.store));
      await byFile(`${file}.lock`, file);
    }
    return release;
  } catch (cause) {
    await release();
    const what = cause instanceof FolderInUse ? 'stop Loam first' : 'cannot take all of it';
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: ${what}: ${explain(cause)}`, { cause });
  }
}

/** Rejects with ConfigInvalid when the data folder is not there. */
export async function assertDataFolder({ data }: RepairPlaces): Promise<void> {
  try {
    await readdir(data);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: cannot look into ${data}: ${explain(cause)}`, { cause });
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return false;
    throw error;
  }
}
