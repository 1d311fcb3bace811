import { type FileHandle, open, stat } from 'node:fs/promises';
import { z } from 'zod';
import type { Disk, Use } from '../files/disk.ts';

/** What a transaction does to the file's size: the bytes of each value that it puts, and how many it removes. */
export interface SizeChange {
  readonly puts: readonly number[];
  readonly removes: number;
}

/** Each tree is copied from the root to the page that changes, and the list of free pages is written anew. */
const TREE_PAGES = 32;
const PAGES_PER_REMOVE = 2;
/** Beside a value: key, page and node headers. */
const NODE_BYTES = 64;
const BYTES_PER_FREE_PAGE = 8;

const ZEROS = Buffer.alloc(2 ** 20);
/**
 * The file is made longer for this many transactions at once, so that most find their room there. But beyond the next
 * transaction it is made longer by no more than MOST_AHEAD bytes, or MOST_PART of a disk's reserve.
 */
const TRANSACTIONS = 8;
const MOST_AHEAD = 2 ** 22;
const MOST_PART = 1 / 16;

const statsSchema = z.object({ lastPageNumber: z.number(), pageSize: z.number() });

/**
 * Room in an LMDB file, behind its last page, for what the next transaction may add.
 *
 * When a write of the library fails because the disk is full, the library overwrites its own memory, and the process
 * dies of that later. So the file is made longer here, by writing zeros: a failure of that is an error like any other.
 * The library then writes only where the file system has given room already. Nothing else may write to the file while
 * it is made longer.
 */
export class FileRoom {
  private readonly file: FileHandle;
  private readonly stats: () => unknown;
  private readonly disk: Disk;
  private pageSize = 4_096;
  private size = 0;
  /** At least this many bytes are behind the last page. */
  private spare = 0;

  private constructor(file: FileHandle, stats: () => unknown, disk: Disk) {
    this.file = file;
    this.stats = stats;
    this.disk = disk;
  }

  /** `stats` returns the library's statistics of the file. Rejects with the file system's error. */
  static async open(path: string, stats: () => unknown, disk: Disk): Promise<FileRoom> {
    const file = await open(path, 'r+');
    const room = new FileRoom(file, stats, disk);
    room.size = (await file.stat()).size;
    return room;
  }

  /** Resolves when the next transaction will find all the room that it can need; rejects with NoRoom. */
  async provide(change: SizeChange, use: Use): Promise<void> {
    const most = this.mostOf(change);
    if (this.spare < most) {
      this.measure();
      const ahead = Math.min(TRANSACTIONS * most, MOST_AHEAD, this.disk.reserve * MOST_PART);
      if (this.spare < most + ahead / 4) await this.extend(most, ahead, use);
    }
    this.spare -= most;
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** More bytes than any transaction was seen to add. Most of it is one page for each value's place in its tree. */
  private mostOf({ puts, removes }: SizeChange): number {
    let pages = TREE_PAGES + PAGES_PER_REMOVE * removes;
    for (const bytes of puts) pages += 1 + Math.ceil((bytes + NODE_BYTES) / this.pageSize);
    return pages * this.pageSize + BYTES_PER_FREE_PAGE * Math.ceil(this.size / this.pageSize);
  }

  private measure(): void {
    const { lastPageNumber, pageSize } = statsSchema.parse(this.stats());
    const used = (lastPageNumber + 1) * pageSize;
    this.pageSize = pageSize;
    // If the library has used more than the room made for it, zeros must not be written over those pages.
    this.size = Math.max(this.size, used);
    this.spare = this.size - used;
  }

  private async extend(most: number, ahead: number, use: Use): Promise<void> {
    try {
      await this.append(Math.ceil((most + ahead - this.spare) / this.pageSize) * this.pageSize);
    } catch (cause) {
      // Only the room of the next transaction is needed now; room ahead of it is optional.
      if (this.spare < most) throw this.disk.denied(use, cause);
    }
  }

  private async append(bytes: number): Promise<void> {
    const end = this.size + bytes;
    while (this.size < end) {
      const { bytesWritten } = await this.file.write(ZEROS, 0, Math.min(ZEROS.length, end - this.size), this.size);
      this.size += bytesWritten;
      this.spare += bytesWritten;
    }
  }
}

/** As large as the library makes its lock file, with some to spare. */
const LOCK_FILE_BYTES = 3 * 4_096;

/**
 * Gives the library's lock file its room. The library writes this file through a memory mapping, where a full disk
 * raises a signal that ends the process. The caller must hold the folder's lock and must not have opened the LMDB file
 * yet: the lock file's content is overwritten.
 */
export async function fillLockFile(path: string, disk: Disk): Promise<void> {
  try {
    const { size } = await stat(path).catch(() => ({ size: 0 }));
    const file = await open(path, size === 0 ? 'w' : 'r+');
    try {
      await file.writeFile(Buffer.alloc(Math.max(size, LOCK_FILE_BYTES)));
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw disk.denied('done', cause);
  }
}
