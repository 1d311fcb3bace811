import { basename, dirname, join } from 'node:path';
import type { NewFile, ReadFile, SegmentFiles } from '../../backbone/segments/files.ts';

/** What a call does instead of what it should. */
export type Fault =
  /** Nothing, and says so. */
  | 'fails'
  /** All of it, and says that it failed. */
  | 'fails afterwards'
  /**
   * The file system finds itself damaged. A sync says that it succeeded, though what made the file longer is lost; anything
   * else fails, as everything does from then on.
   */
  | 'is found damaged'
  /** A part: of a write its first half, of anything else nothing. A write says how much; all else says that it failed. */
  | 'is short';

/** A disk's file: what is on it, and what was written since and is not. */
interface Inode {
  durable: Buffer;
  /** As every reader sees it. */
  seen: Buffer;
  unsynced: InodeChange[];
  /** A write or sync of it went wrong. */
  failed?: boolean;
}

/** A write, or a change of the length. */
type InodeChange = { readonly at: number; readonly bytes: Buffer } | { readonly length: number };

/** Names that change in one step; without an inode the name is gone. */
type NameChange = readonly { readonly path: string; readonly inode: Inode | undefined }[];

const SECTOR = 512;

/**
 * A disk in memory. It counts calls that change something, and makes one of them fail. When the power is cut, it keeps
 * what was synced, and of everything else what a random number says: of writes any sectors, of changes of names any, or
 * the first ones. After a sync that failed, a later one does not write what the failed one was to write, as on Linux.
 */
export class MemoryDisk implements SegmentFiles {
  private readonly names = new Map<string, Inode>();
  private readonly durableNames = new Map<string, Inode>();
  private changes: NameChange[] = [];
  /** How many calls have been made that change something. */
  calls = 0;
  /** The call that goes wrong, by its number; and all after it, when `lasting`. */
  fault: { readonly at: number; readonly is: Fault; readonly lasting: boolean } | undefined;
  /** Called before each call that changes something. */
  onCall: (call: number) => void = () => {};
  /** How often a file was written to after a write or sync of it had gone wrong. */
  writesAfterFailure = 0;

  async list(folder: string): Promise<readonly string[]> {
    return [...this.names.keys()].filter((path) => dirname(path) === folder).map((path) => basename(path));
  }

  async create(path: string): Promise<NewFile> {
    const inode: Inode = { durable: Buffer.alloc(0), seen: Buffer.alloc(0), unsynced: [] };
    this.call(() => this.change([{ path, inode }]));
    return this.handle(inode);
  }

  open(path: string): ReadFile {
    return this.handle(this.inode(path));
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.inode(from);
    this.call(() =>
      this.change([
        { path: to, inode },
        { path: from, inode: undefined },
      ]),
    );
  }

  async remove(path: string): Promise<void> {
    this.call(() => this.change([{ path, inode: undefined }]));
  }

  async syncFolder(_folder: string): Promise<void> {
    this.call(() => {
      for (const change of this.changes.splice(0)) keep(this.durableNames, change);
    });
  }

  /** The disk after the power was cut now, as `random` (from 0 up to 1) decides. */
  cut(random: () => number): MemoryDisk {
    const after = new MemoryDisk();
    const names = new Map(this.durableNames);
    const isInOrder = random() < 0.5;
    const steps = Math.floor(random() * (this.changes.length + 1));
    for (const [i, change] of this.changes.entries()) {
      if (isInOrder ? i < steps : random() < 0.5) keep(names, change);
    }
    const inodes = new Map<Inode, Inode>();
    for (const [path, inode] of names) {
      const cut = inodes.get(inode) ?? cutInode(inode, random);
      inodes.set(inode, cut);
      after.names.set(path, cut);
      after.durableNames.set(path, cut);
    }
    return after;
  }

  /** The disk after the process was killed now: what that process still does reaches another one. */
  killed(): MemoryDisk {
    const after = new MemoryDisk();
    const inodes = new Map<Inode, Inode>();
    const copy = (inode: Inode): Inode => {
      const known = inodes.get(inode) ?? {
        durable: Buffer.from(inode.durable),
        seen: Buffer.from(inode.seen),
        unsynced: [...inode.unsynced],
      };
      inodes.set(inode, known);
      return known;
    };
    for (const [path, inode] of this.names) after.names.set(path, copy(inode));
    for (const [path, inode] of this.durableNames) after.durableNames.set(path, copy(inode));
    after.changes = this.changes.map((change) =>
      change.map(({ path, inode }) => ({ path, inode: inode && copy(inode) })),
    );
    return after;
  }

  /** Changes bytes on the disk, behind everybody's back. */
  damage(path: string, at: number, length: number): void {
    const inode = this.inode(path);
    for (const bytes of [inode.seen, inode.durable]) {
      for (let i = at; i < Math.min(at + length, bytes.length); i++) bytes[i] = (bytes[i] ?? 0) ^ 0x5a;
    }
  }

  bytes(path: string): Buffer {
    return this.inode(path).seen;
  }

  paths(): string[] {
    return [...this.names.keys()].sort();
  }

  private handle(inode: Inode): NewFile {
    return {
      get size() {
        return inode.seen.length;
      },
      read: (position, length) => Buffer.from(inode.seen.subarray(position, position + length)),
      close: () => {},
      isAt: (path) => this.names.get(path) === inode,
      write: async (bytes, position) => {
        if (inode.failed) this.writesAfterFailure += 1;
        inode.failed ||= this.goesWrong() !== undefined;
        const isShort = this.goesWrong() === 'is short';
        const written = isShort ? Math.floor(bytes.length / 2) : bytes.length;
        const put = () => write(inode, Buffer.from(bytes.subarray(0, written)), position);
        if (isShort) {
          this.calls += 1;
          put();
        } else this.call(put);
        return written;
      },
      truncate: async (length) => {
        this.call(() => {
          inode.seen = changed(inode.seen, { length });
          inode.unsynced.push({ length });
        });
      },
      sync: async () => {
        const { unsynced } = inode;
        if (this.goesWrong() === 'is found damaged' && this.calls === this.fault?.at) {
          this.calls += 1;
          inode.unsynced = [];
          const { length } = inode.durable;
          inode.durable = unsynced.reduce(changed, inode.durable).subarray(0, length);
          return;
        }
        inode.failed ||= this.goesWrong() !== undefined;
        if (inode.failed) inode.unsynced = [];
        this.call(() => {
          inode.unsynced = [];
          inode.durable = unsynced.reduce(changed, inode.durable);
        });
      },
    };
  }

  private goesWrong(): Fault | undefined {
    const { fault, calls } = this;
    if (fault === undefined || (fault.lasting ? calls < fault.at : calls !== fault.at)) return undefined;
    return fault.is;
  }

  private call(change: () => void): void {
    this.onCall(this.calls);
    const fault = this.goesWrong();
    this.calls += 1;
    if (fault === undefined || fault === 'fails afterwards') change();
    if (fault !== undefined) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  }

  private inode(path: string): Inode {
    const inode = this.names.get(path);
    if (inode === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
    return inode;
  }

  private change(change: NameChange): void {
    keep(this.names, change);
    this.changes.push(change);
  }
}

function keep(names: Map<string, Inode>, change: NameChange): void {
  for (const { path, inode } of change) {
    if (inode) names.set(path, inode);
    else names.delete(path);
  }
}

function write(inode: Inode, bytes: Buffer, at: number): void {
  inode.seen = patched(inode.seen, at, bytes);
  inode.unsynced.push({ at, bytes });
}

function changed(before: Buffer, change: InodeChange): Buffer {
  if ('bytes' in change) return patched(before, change.at, change.bytes);
  return patched(before.subarray(0, change.length), change.length, Buffer.alloc(0));
}

function patched(before: Uint8Array, at: number, bytes: Uint8Array): Buffer {
  const after = Buffer.alloc(Math.max(before.length, at + bytes.length));
  after.set(before);
  after.set(bytes, at);
  return after;
}

/** Every sector of every write that was not synced is there or not, and every change of the length; the file may have zeros behind. */
function cutInode({ durable, seen, unsynced }: Inode, random: () => number): Inode {
  let bytes: Uint8Array = durable;
  for (const write of unsynced) {
    const part = random();
    if ('length' in write) {
      if (random() < part) bytes = changed(Buffer.from(bytes), write);
      continue;
    }
    for (let from = 0; from < write.bytes.length; ) {
      const length = Math.min(SECTOR - ((write.at + from) % SECTOR), write.bytes.length - from);
      if (random() < part) bytes = patched(bytes, write.at + from, write.bytes.subarray(from, from + length));
      from += length;
    }
  }
  if (random() < 0.3) bytes = patched(bytes, Math.max(bytes.length, seen.length), Buffer.alloc(0));
  return { durable: Buffer.from(bytes), seen: Buffer.from(bytes), unsynced: [] };
}

/** Random numbers from 0 up to 1, the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A folder on it. */
export const FOLDER = join('/', 'disk');
