import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { giveToFoldersOwner } from '../../core/folders-owner.ts';
import type { Disk, Use } from '../files/disk.ts';
import { FolderGone, isAtNow } from '../files/held-folder.ts';

/** A file that is read. What is read at once takes as long as the disk takes; most of it is in memory. */
export interface ReadFile {
  readonly size: number;
  /** Up to `length` bytes from `position` on, fewer at the end of the file. Throws the file system's error. */
  read(position: number, length: number): Buffer;
  close(): void;
}

/** A file that this process has made and writes to. */
export interface NewFile extends ReadFile {
  /** Writes `bytes` at `position`; resolves with how many were written. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Resolves when everything that was written is on disk, and the file's length. */
  sync(): Promise<void>;
  /**
   * Makes the file this long. Resolves when the file system takes changes to its tables: then what was synced and renamed
   * before stays. An ext4 that finds itself damaged takes none any more. A sync that is under way at that moment may
   * succeed all the same (1 of 15 did), though the file's new blocks are in no table, and gone after the next mount.
   */
  truncate(length: number): Promise<void>;
  /**
   * Whether a path leads to this file. It does not when somebody deleted, moved or replaced the file or a folder above it:
   * then what is written is nowhere where it would be looked for.
   */
  isAt(path: string): boolean;
}

/**
 * All that segments ask of a file system. Tests put one in this place that fails, writes less than it should, or forgets
 * what was not synced. Each call rejects, or throws, with the file system's error.
 */
export interface SegmentFiles {
  /** The names in a folder. */
  list(folder: string): Promise<readonly string[]>;
  /** Makes an empty file; what was there under its name is gone. */
  create(path: string): Promise<NewFile>;
  open(path: string): ReadFile;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Resolves when the names of files that were made, renamed or removed in the folder are on disk. */
  syncFolder(folder: string): Promise<void>;
}

const open = promisify(fs.open);
const close = promisify(fs.close);
const write = promisify(fs.write);
const fsync = promisify(fs.fsync);
const fdatasync = promisify(fs.fdatasync);
const ftruncate = promisify(fs.ftruncate);

/**
 * On Linux a file is opened so that a write resolves when it is on disk: that is one task for the thread pool instead of
 * two, and each costs the event loop much where all processors are busy (`loam up` acknowledges about 1.09 times as
 * much). Elsewhere such a write may still be in the memory of the drive, which a sync empties.
 */
const IS_SYNCED = process.platform === 'linux';
const { O_RDWR, O_CREAT, O_TRUNC, O_DSYNC } = fs.constants;
const NEW_FILE = O_RDWR | O_CREAT | O_TRUNC | (IS_SYNCED ? O_DSYNC : 0);

/** The real file system. Descriptors are plain numbers: a FileHandle is closed by the garbage collector. */
export const DISK_FILES: SegmentFiles = {
  list: (folder) => fs.promises.readdir(folder),
  create: async (path) => {
    const file = await open(path, NEW_FILE, 0o600);
    giveToFoldersOwner(path, file);
    return new WrittenFile(file, 0);
  },
  open: (path) => {
    const file = fs.openSync(path, 'r');
    return new OpenFile(file, fs.fstatSync(file).size);
  },
  rename: (from, to) => fs.promises.rename(from, to),
  remove: (path) => fs.promises.rm(path, { force: true }),
  syncFolder: async (folder) => {
    const file = await open(folder, 'r');
    try {
      await fsync(file);
    } finally {
      await close(file);
    }
  },
};

class OpenFile implements ReadFile {
  protected readonly file: number;
  size: number;

  constructor(file: number, size: number) {
    this.file = file;
    this.size = size;
  }

  read(position: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - position)));
    let bytes = 0;
    while (bytes < buffer.length) {
      const more = fs.readSync(this.file, buffer, bytes, buffer.length - bytes, position + bytes);
      if (more === 0) break;
      bytes += more;
    }
    return buffer.subarray(0, bytes);
  }

  close(): void {
    fs.closeSync(this.file);
  }
}

class WrittenFile extends OpenFile implements NewFile {
  private readonly inode = fs.fstatSync(this.file, { bigint: true });

  async write(bytes: Uint8Array, position: number): Promise<number> {
    const { bytesWritten } = await write(this.file, bytes, 0, bytes.length, position);
    this.size = Math.max(this.size, position + bytesWritten);
    return bytesWritten;
  }

  async sync(): Promise<void> {
    if (!IS_SYNCED) await fdatasync(this.file);
  }

  async truncate(length: number): Promise<void> {
    await ftruncate(this.file, length);
    this.size = length;
  }

  isAt(path: string): boolean {
    return isAtNow(path, this.inode);
  }
}

/** The file system took a part only, and did not say why. */
export class ShortWrite extends Error {
  readonly code = 'ENOSPC';

  constructor(written: number, wanted: number) {
    super(`only ${written} of ${wanted} bytes were written`);
    this.name = 'ShortWrite';
  }
}

/** Rejects with ShortWrite, or the file system's error. */
export async function writeWhole(file: NewFile, bytes: Uint8Array, position: number): Promise<void> {
  const written = await file.write(bytes, position);
  if (written < bytes.length) throw new ShortWrite(written, bytes.length);
}

/** What a file holds does not depend on how its closing ends: everything that counts was synced before. */
export function closeQuietly(file: ReadFile): void {
  try {
    file.close();
  } catch {
    // The descriptor is given back even so.
  }
}

const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Rejects as `work` does, with NoRoom where the file system had no room. That a folder is gone is named from then on. */
export async function deniedFor<T>(disk: Disk, use: Use, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FolderGone) await disk.look();
    const isFull = error instanceof Error && 'code' in error && NO_ROOM.has(String(error.code));
    throw isFull ? disk.denied(use, error) : error;
  }
}
