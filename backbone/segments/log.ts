import { join } from 'node:path';
import { Closed, LogUnavailable, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { Disks } from '../files/disk.ts';
import type { Follower, Log, LogEntry, LogHead, LogLimits, LogPosition, LogReading } from '../ports/log.ts';
import { type OwnedFolder, ownFolder } from './folder.ts';
import { GroupCommit } from './group-commit.ts';
import { LogFile, segmentsOf } from './log-file.ts';
import { FileFollower, type Followed } from './log-follower.ts';
import type { LostRecord } from './wanted.ts';

/** Most bytes that may wait for the disk in memory; beyond it `append` rejects. */
const MOST_WAITING_BYTES = 256 * 2 ** 20;
/** With `onlyCopy`: how often the log stores how long it has been open, and trims, also when nothing is appended. */
const LOOK_MS = 3_600_000;

/**
 * Opens the log kept in `dir/name`, making it when it is not there. A log belongs to one process at a time.
 * Rejects with LogUnavailable: in use, not writable, no room, or written by another version.
 *
 * While `disks` has less room than half its reserve, `append` rejects with LogUnavailable, and the log is down.
 */
export async function openFileLog(dir: string, name: string, limits: LogLimits, disks = new Disks()): Promise<Log> {
  const path = join(dir, name);
  const contents = { is: 'log', ...segmentsOf(limits), onlyCopy: limits.onlyCopy ?? false } as const;
  try {
    const folder = await ownFolder(path, contents, disks);
    try {
      return new FileLog(folder, await LogFile.open(folder, limits), limits);
    } catch (error) {
      await folder.release();
      throw error;
    }
  } catch (cause) {
    throw new LogUnavailable(`the log in ${path} cannot be opened`, { cause });
  }
}

/** The log on one machine: a file, the writes that add to it and trim it, and its followers. */
class FileLog implements Log, Followed {
  private readonly folder: OwnedFolder;
  private readonly file: LogFile;
  private readonly commits: GroupCommit<Uint8Array>;
  private readonly followers = new Set<FileFollower>();
  private readonly looker: NodeJS.Timeout | undefined;
  private growing = signal();
  private closing: Promise<void> | undefined;

  constructor(folder: OwnedFolder, file: LogFile, { onlyCopy }: LogLimits) {
    this.folder = folder;
    this.file = file;
    this.commits = new GroupCommit((bodies) => this.commit(bodies));
    if (onlyCopy) this.looker = setInterval(() => this.commits.commitSoon(), LOOK_MS).unref();
  }

  get state(): ConnectionState {
    return this.commits.connection.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.commits.connection.watch(listener);
  }

  async append(body: Uint8Array): Promise<void> {
    this.assertOpen();
    if (this.commits.waitingBytes + body.length > MOST_WAITING_BYTES) {
      throw new LogUnavailable(`the log is behind: ${this.commits.waitingBytes} bytes wait for the disk`);
    }
    try {
      await this.commits.add(body, body.length);
    } catch (cause) {
      throw new LogUnavailable('the log could not write the entry', { cause });
    }
  }

  async read(from: LogPosition, limit: number, { whole = false }: LogReading = {}): Promise<LogEntry[]> {
    this.assertOpen();
    const offset = this.offsetOf(from);
    this.assertKept(offset);
    return this.reading(() => this.file.read(offset, limit, whole ? { onLost: refuseUnread } : {}));
  }

  async follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower> {
    this.assertOpen();
    const offset = this.offsetOf(from);
    this.assertKept(offset);
    const follower = new FileFollower(this, offset, handler);
    this.followers.add(follower);
    const forget = () => void this.followers.delete(follower);
    follower.ended.then(forget, forget);
    return follower;
  }

  async head(): Promise<LogHead> {
    this.assertOpen();
    return { epoch: this.file.epoch, first: this.file.first, next: this.file.next };
  }

  close(): Promise<void> {
    this.closing ??= this.letGo();
    return this.closing;
  }

  slice(offset: number, mostEntries: number, mostBytes: number): LogEntry[] {
    this.assertKept(offset);
    return this.reading(() => this.file.read(offset, mostEntries, { mostBytes }));
  }

  grown(): Promise<void> {
    return this.growing.given;
  }

  private async commit(bodies: readonly Uint8Array[]): Promise<void> {
    if (bodies.length > 0) await this.file.commit(bodies);
    else await this.file.look();
    const { give } = this.growing;
    this.growing = signal();
    give();
  }

  private offsetOf(from: LogPosition): number {
    if (from === 'first') return this.file.first;
    if (from === 'next') return this.file.next;
    if (from.epoch !== undefined && from.epoch !== this.file.epoch) throw new UnknownEpoch(this.file.epoch);
    return from.offset;
  }

  private assertKept(offset: number): void {
    if (offset < this.file.first) throw new Trimmed(this.file.first);
  }

  private reading<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      throw new LogUnavailable('the log cannot be read', { cause });
    }
  }

  private async letGo(): Promise<void> {
    clearInterval(this.looker);
    await Promise.all([...this.followers].map((follower) => follower.stop()));
    await this.commits.end();
    this.file.close();
    await this.folder.release();
  }

  private assertOpen(): void {
    if (this.closing !== undefined) throw new Closed('the log');
  }
}

/** An entry whose bytes are wrong is gone. One that the file system does not give may be read another time. */
function refuseUnread({ cause }: LostRecord): void {
  if (cause !== undefined) throw cause;
}

/** A promise, and the function that resolves it. */
function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give = () => {};
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
}
