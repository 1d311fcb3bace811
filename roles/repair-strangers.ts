import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { REPAIRING } from '../backbone/duckdb/mend.ts';
import { ASIDE, WAL_PARTS } from '../backbone/duckdb/opening.ts';
import { LOCK_FILE } from '../backbone/files/folder-lock.ts';
import { lastGoodPath } from '../backbone/registry/yaml/last-good.ts';
import { autoPath, codecsPath } from '../backbone/registry/yaml/text.ts';
import { KEPT, type KeptFolder } from '../backbone/repair/kept.ts';
import type { RepairFinding } from '../backbone/repair/part.ts';
import {
  KEPT as KEPT_LMDB,
  UNFINISHED as NEW_SEGMENTS,
  OLD,
  SEGMENTS,
  TAKEN,
} from '../backbone/take-over/take-over.ts';
import type { Config } from '../core/config.ts';
import { UNFINISHED } from '../core/system-error.ts';
import { DATA_LOCK, demoSecretsPath, keptSecrets, simulatedSecretsPath } from './data-folder.ts';
import type { RepairPlaces } from './repair-places.ts';
import { moveAway } from './repair-secrets.ts';

/** Most names that are looked at; a folder with more is not one of ours. */
const MOST_NAMES = 100_000;
/** Most strangers that are named. */
const MOST_STRANGERS = 100;

type StrangerKind = 'ours' | 'left over' | 'kept' | 'lmdb' | 'stranger';

/** Looks at every name in the folders of an installation: what was left over, what an earlier repair kept, what nobody knows. */
export async function lookAtStrangers(
  config: Config,
  places: RepairPlaces,
  kept: () => Promise<KeptFolder>,
): Promise<RepairFinding[]> {
  const know = knowledgeOf(config, places);
  const findings: RepairFinding[] = [];
  let names = 0;
  const strangers: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const name of (await readdir(folder)).sort()) {
      names += 1;
      if (names > MOST_NAMES) return;
      const path = join(folder, name);
      const kind = know(path);
      if (kind === 'left over') findings.push(leftOver(path, kept));
      else if (kind === 'kept') findings.push(keptBefore(path));
      else if (kind === 'lmdb') findings.push(ofEarlierVersion(path));
      else if ((await lstat(path)).isDirectory()) await walk(path);
      else if (kind === 'stranger') strangers.push(path);
    }
  };
  for (const root of rootsOf(places)) if (await isFolder(root)) await walk(root);
  for (const path of strangers.slice(0, MOST_STRANGERS)) {
    findings.push({ part: 'unknown', path, is: 'note', text: 'not a file of Loam: left alone' });
  }
  if (strangers.length > MOST_STRANGERS || names > MOST_NAMES) {
    const text = `and ${strangers.length - MOST_STRANGERS} more files that are none of Loam${names > MOST_NAMES ? ', and names that were not looked at' : ''}`;
    findings.push({ part: 'unknown', path: places.data, is: 'note', text });
  }
  return findings;
}

function leftOver(path: string, kept: () => Promise<KeptFolder>): RepairFinding {
  const text = 'left over by a process that ended while it wrote: nothing needs it';
  return { part: 'left over', path, is: 'note', text, mend: moveAway(path, 'taken away', kept) };
}

function keptBefore(path: string): RepairFinding {
  const text = 'what an earlier repair kept: delete it when you are content';
  return { part: 'kept', path, is: 'note', text };
}

function ofEarlierVersion(path: string): RepairFinding {
  const text = 'what an earlier version of Loam kept, and was taken over: delete it when you are content';
  return { part: 'kept', path, is: 'note', text };
}

function filesOfRegistry(path: string): string[] {
  const files = [path, autoPath(path)];
  return [...files, `${path}.lock`, ...[...files, codecsPath(path)].map(lastGoodPath)];
}

/** What a path is, by its name and place alone. */
function knowledgeOf(
  config: Config,
  { data, registry, queues, logs, store }: RepairPlaces,
): (path: string) => StrangerKind {
  const ours = new Set([
    ...(registry === undefined ? [] : filesOfRegistry(registry)),
    ...keptSecrets(data),
    demoSecretsPath({ ...config, data }),
    simulatedSecretsPath({ ...config, data }),
    join(data, DATA_LOCK),
  ]);
  const left = new Set<string>();
  if (store !== undefined) {
    for (const part of ['', '.lock', ...WAL_PARTS]) ours.add(`${store}${part}`);
    for (const part of WAL_PARTS) left.add(`${store}${part}${ASIDE}`);
    for (const part of ['', ...WAL_PARTS]) left.add(`${store}${REPAIRING}${part}`);
    left.add(`${store}.tmp`);
  }
  const folders = new Set([...queues, ...logs].map(({ folder }) => folder));
  for (const folder of folders) {
    for (const name of [LOCK_FILE, OLD, `${OLD}-lock`, 'lock']) ours.add(join(folder, name));
    // The folder itself may be a link to another disk.
    ours.add(folder);
    ours.add(join(folder, OLD, 'README'));
    ours.add(join(folder, SEGMENTS, TAKEN));
  }
  return (path) => {
    if (ours.has(path)) return 'ours';
    const name = basename(path);
    const folder = dirname(path);
    if (left.has(path)) return 'left over';
    if (folder === data && name.startsWith(KEPT)) return 'kept';
    // A file of ours that was being written: only its end is not its name.
    const whole = path.replace(UNFINISHED, '');
    if (whole !== path && ours.has(whole)) return 'left over';
    if (folders.has(folder) && name.startsWith(NEW_SEGMENTS)) return 'left over';
    if (folders.has(folder) && name === KEPT_LMDB) return 'lmdb';
    if (basename(folder) === SEGMENTS && folders.has(dirname(folder))) {
      const segment = SEGMENT.exec(name);
      if (segment) return segment[1] === undefined ? 'ours' : 'left over';
    }
    return 'stranger';
  };
}

const SEGMENT = /^(?:messages|marks|entries)-\d{12}\.seg(\.tmp)?$/;

/** The data folder, and what lies outside of it. */
function rootsOf({ data, queues, logs }: RepairPlaces): string[] {
  const outside = [...queues, ...logs].flatMap(({ folder }) => (relative(data, folder).startsWith('..') ? folder : []));
  // The slow and the undated queue lie in the queue's folder.
  return [data, ...outside.filter((folder) => !outside.includes(dirname(folder)))];
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
