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
/** What is made is enough for so many transactions, so that most find it there; but no more than this, or this part of a disk's reserve. */
const TRANSACTIONS = 8;
const MOST_AHEAD = 2 ** 22;
const MOST_PART = 1 / 16;

const statsSchema = z.object({ lastPageNumber: z.number(), pageSize: z.number() });

/**
 * Room in an LMDB file, behind its last page, for what the next transaction may add.
 *
 * The library cannot bear a write that fails for want of room: it writes over its own memory, and the process dies of that later. So the
 * file is made longer here, by writing zeros, where a failure is an error like others; the library then only writes where the file system
 * has given room already. Nobody may write to the file while it is made longer.
 */
export class FileRoom {
  private readonly file: FileHandle;
  private readonly stats: () => unknown;
  private readonly disk: Disk;
  private pageSize = 4_096;
  private size = 0;
  /** At least so much is behind the last page. */
  private spare = 0;

  private constructor(file: FileHandle, stats: () => unknown, disk: Disk) {
    this.file = file;
    this.stats = stats;
    this.disk = disk;
  }

  /** `stats` are the library's own of the file. Rejects with what the file system says. */
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

  /** More than a transaction has ever been seen to add; a page for each value's place in its tree is most of it. */
  private mostOf({ puts, removes }: SizeChange): number {
    let pages = TREE_PAGES + PAGES_PER_REMOVE * removes;
    for (const bytes of puts) pages += 1 + Math.ceil((bytes + NODE_BYTES) / this.pageSize);
    return pages * this.pageSize + BYTES_PER_FREE_PAGE * Math.ceil(this.size / this.pageSize);
  }

  private measure(): void {
    const { lastPageNumber, pageSize } = statsSchema.parse(this.stats());
    const used = (lastPageNumber + 1) * pageSize;
    this.pageSize = pageSize;
    // Should the library have gone beyond what was made for it, nothing may be written over that.
    this.size = Math.max(this.size, used);
    this.spare = this.size - used;
  }

  private async extend(most: number, ahead: number, use: Use): Promise<void> {
    try {
      await this.append(Math.ceil((most + ahead - this.spare) / this.pageSize) * this.pageSize);
    } catch (cause) {
      // What is made ahead can be done without.
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
 * Gives the library's lock file its room. It is written through a mapping, where a full disk is a signal that ends the process.
 * Only for who has the folder for himself and has not opened the file: what was in it is gone.
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
