import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from '../../core/logger.ts';
import { syncPath } from '../../core/sync-path.ts';
import type { Contents } from './child.ts';

/** Where the new files are, in the folder that a URL names. */
export const SEGMENTS = 'segments';
/** What the names of folders begin with in which they are made. */
export const UNFINISHED = 'segments.new-';
export const OLD = 'data.mdb';
export const KEPT = 'lmdb-kept';
export const TAKEN = 'taken-over.json';

/** With this code the child says that the package is missing. */
export const NO_PACKAGE = 3;

const NOTE = `Earlier versions of Loam kept a file of this name. This folder keeps such a version, when it is started here by mistake,
from beginning an empty file and going on without what is in the folder "segments".
`;

/** What an earlier version left in a folder cannot be taken over. Nothing was changed. */
export class TakeOverFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TakeOverFailed';
  }
}

/**
 * Brings a folder into the form of this version; the caller has its lock. What an earlier version kept in an LMDB file
 * is written anew, once, by a process of its own, which alone loads the package `lmdb`: that may end a process when a
 * file is damaged. The new files get their name when all of them are on disk, and the old file is moved aside after
 * that; so when this is ended in the middle, the next call begins again, or only moves the file. Rejects with
 * TakeOverFailed or the file system's error.
 */
export async function takeOver(folder: string, contents: Contents, log?: Logger): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(UNFINISHED)) await rm(join(folder, name), { recursive: true, force: true });
  }
  const old = join(folder, OLD);
  const found = await kindOf(old);
  if (found === 'file') {
    if ((await kindOf(join(folder, SEGMENTS))) === undefined) await writeAnew(folder, contents, log);
    else if (!(await isTaken(folder))) throw new TakeOverFailed(bothAreThere(folder));
    await mkdir(join(folder, KEPT), { recursive: true });
    await rename(old, join(folder, KEPT, OLD));
    await rm(`${old}-lock`, { force: true });
    await syncPath(join(folder, KEPT));
  }
  if (found !== 'folder') {
    await mkdir(old);
    await writeFile(join(old, 'README'), NOTE, { flush: true });
  }
  await mkdir(join(folder, SEGMENTS), { recursive: true });
  await syncPath(folder);
}

async function writeAnew(folder: string, contents: Contents, log: Logger | undefined): Promise<void> {
  log?.info({ event: 'take_over', folder }, 'taking over what an earlier version kept here');
  const unfinished = join(folder, `${UNFINISHED}${randomUUID()}`);
  await mkdir(unfinished);
  let said: string;
  try {
    said = await runChild(folder, unfinished, contents);
    await writeFile(join(unfinished, TAKEN), JSON.stringify(await markOf(join(folder, OLD))), { flush: true });
    await syncPath(unfinished);
    await rename(unfinished, join(folder, SEGMENTS));
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  await syncPath(folder);
  log?.info({ event: 'taken_over', folder }, `taken over: ${said}; the old file is kept in ${join(folder, KEPT)}`);
}

/** Resolves with what the child says when it is done. It ends when this process does. */
async function runChild(folder: string, into: string, contents: Contents): Promise<string> {
  const child = spawn(process.execPath, [...ENTRY, join(folder, OLD), into, JSON.stringify(contents)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-2_000);
  });
  const ended = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  if (ended === 0) return said.trim();
  if (ended === NO_PACKAGE) {
    throw new TakeOverFailed(
      `${folder} was written by an earlier version with LMDB. To take it over, install that once: npm install --no-save lmdb@3.5.6`,
    );
  }
  throw new TakeOverFailed(
    `what an earlier version kept in ${folder} cannot be taken over (${ended}): ${errors.trim()}`,
  );
}

/** The arguments with which node runs the child: in `dist/` the JavaScript, else the TypeScript with its loader. */
const ENTRY = import.meta.url.endsWith('.js')
  ? [fileURLToPath(new URL('./child.js', import.meta.url))]
  : ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('./child.ts', import.meta.url))];

/** Whether the segments were made of the old file as it is now. */
async function isTaken(folder: string): Promise<boolean> {
  const [made, now] = await Promise.all([
    readFile(join(folder, SEGMENTS, TAKEN), 'utf8').catch(() => undefined),
    markOf(join(folder, OLD)),
  ]);
  return made === JSON.stringify(now);
}

async function markOf(path: string) {
  const { ino, size, mtimeMs } = await stat(path);
  return { ino, size, mtimeMs };
}

function bothAreThere(folder: string): string {
  return (
    `${folder} has both ${OLD} of an earlier version, which was used after it was taken over, and ${SEGMENTS} of this one. ` +
    `Move ${OLD} away to go on without what it has, or ${SEGMENTS} to take it over again`
  );
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  return found.isDirectory() ? 'folder' : 'file';
}
