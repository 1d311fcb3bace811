import { Closed, QueueFull, QueueUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { Disks } from '../files/disk.ts';
import { type Consumer, DEFAULT_QUEUE_LIMITS, type Handler, type Queue, type QueueLimits } from '../ports/queue.ts';
import { type OwnedFolder, ownFolder } from './folder.ts';
import { GroupCommit } from './group-commit.ts';
import { Dispatcher } from './queue-dispatcher.ts';
import { MESSAGES, QUEUE_SEGMENT_BYTES, type QueueChange, QueueFile } from './queue-file.ts';

const CONTENTS = { is: 'queue', name: MESSAGES, segmentBytes: QUEUE_SEGMENT_BYTES, onlyCopy: false } as const;

/** Most bytes that may wait for the disk in memory; beyond it `publish` refuses as at the queue's own limit. */
const MOST_WAITING_BYTES = 256 * 2 ** 20;

/**
 * Opens the queue kept in `dir`, making it when it is not there. A queue belongs to one process at a time.
 * Rejects with QueueUnavailable: in use, not writable, no room, or written by another version.
 *
 * While `disks` has less room than its reserve, `publish` rejects with QueueUnavailable. `onUnreadable` is called once for
 * each message that cannot be read and is not delivered: it was damaged, or the disk does not give it in this run.
 */
export async function openFileQueue(
  dir: string,
  limits: QueueLimits = DEFAULT_QUEUE_LIMITS,
  disks = new Disks(),
  onUnreadable?: () => void,
): Promise<Queue> {
  try {
    const folder = await ownFolder(dir, CONTENTS, disks);
    try {
      const segmentBytes = folder.disk.partFor(QUEUE_SEGMENT_BYTES);
      const file = await QueueFile.open({ ...folder, segmentBytes, onUnreadable });
      return new FileQueue(folder, file, limits, segmentBytes);
    } catch (error) {
      await folder.release();
      throw error;
    }
  } catch (cause) {
    throw new QueueUnavailable(`the queue in ${dir} cannot be opened`, { cause });
  }
}

/**
 * The queue on one machine: a file, the writes that change it, and the dispatcher that hands messages out. What comes in
 * and what is done are written by turns of their own: where there is no room for messages, there may be for marks.
 *
 * A message counts as `pending` from `publish` until its write is settled, and as kept in the file from then until the
 * write of its acknowledgement. Both counts are checked against the limits, so these are exact however many publish at
 * once.
 */
class FileQueue implements Queue {
  private readonly folder: OwnedFolder;
  private readonly file: QueueFile;
  private readonly limits: QueueLimits;
  private readonly incoming: GroupCommit<Uint8Array>;
  private readonly outcomes: GroupCommit<QueueChange>;
  private readonly dispatcher: Dispatcher;
  private readonly watched = new Watched();
  private pendingMessages = 0;
  private pendingBytes = 0;
  private closing: Promise<void> | undefined;

  constructor(folder: OwnedFolder, file: QueueFile, limits: QueueLimits, segmentBytes: number) {
    this.folder = folder;
    this.file = file;
    this.limits = limits;
    this.incoming = new GroupCommit((bodies) => this.add(bodies), { mostBytes: segmentBytes / 2 });
    this.outcomes = new GroupCommit((changes) => this.mark(changes));
    this.dispatcher = new Dispatcher(file, this.outcomes);
    for (const { connection } of [this.incoming, this.outcomes]) connection.watch(() => this.tell());
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  async publish(body: Uint8Array): Promise<void> {
    this.assertOpen();
    const messages = this.file.messages + this.pendingMessages;
    const bytes = this.file.bytes + this.pendingBytes;
    if (messages >= this.limits.maxMessages || bytes + body.length > this.limits.maxBytes) {
      throw new QueueFull(`the queue is full: it holds ${messages} messages of ${bytes} bytes`);
    }
    if (this.incoming.waitingBytes + body.length > MOST_WAITING_BYTES) {
      throw new QueueFull(`the queue is full: ${this.incoming.waitingBytes} bytes wait for the disk`);
    }
    const refusal = this.incoming.late ?? this.file.refusal();
    if (refusal) {
      throw new QueueUnavailable('the queue could not write the message', { cause: refusal });
    }
    this.pendingMessages++;
    this.pendingBytes += body.length;
    try {
      await this.incoming.add(body, body.length);
    } catch (cause) {
      throw new QueueUnavailable('the queue could not write the message', { cause });
    }
  }

  async consume(handler: Handler, { prefetch }: { readonly prefetch: number }): Promise<Consumer> {
    this.assertOpen();
    return this.dispatcher.consume(handler, prefetch);
  }

  async depth(): Promise<number> {
    this.assertOpen();
    return this.file.messages;
  }

  async drain(): Promise<void> {
    this.assertOpen();
    await this.settle();
  }

  close(): Promise<void> {
    this.closing ??= this.letGo();
    return this.closing;
  }

  private async add(bodies: readonly Uint8Array[]): Promise<void> {
    try {
      await this.file.add(bodies);
    } finally {
      this.pendingMessages -= bodies.length;
      for (const { length } of bodies) this.pendingBytes -= length;
    }
    this.dispatcher.pump();
  }

  private async mark(changes: readonly QueueChange[]): Promise<void> {
    await this.file.mark(changes, this.dispatcher.cursor, this.dispatcher.roomAfter(changes));
    this.dispatcher.pump();
  }

  private async settle(): Promise<void> {
    await this.dispatcher.stop();
    await this.incoming.settled();
    // If this write fails, the only harm is that a first delivery after reopening may count as a second.
    await this.outcomes.add({ is: 'rest' }).catch(() => {});
  }

  private async letGo(): Promise<void> {
    await this.settle();
    this.dispatcher.close();
    await this.incoming.end();
    await this.outcomes.end();
    await this.file.close();
    await this.folder.release();
    this.watched.set({ is: 'closed' });
  }

  private tell(): void {
    const states = [this.incoming.connection.state, this.outcomes.connection.state];
    const down = states.find(({ is }) => is === 'down');
    if (down) this.watched.set(down);
    else if (states.every(({ is }) => is === 'up')) this.watched.set({ is: 'up' });
  }

  private assertOpen(): void {
    if (this.closing !== undefined) throw new Closed('the queue');
  }
}
