import { Closed, QueueFull, QueueUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { Disks } from '../files/disk.ts';
import { type Consumer, DEFAULT_QUEUE_LIMITS, type Handler, type Queue, type QueueLimits } from '../ports/queue.ts';
import { GroupCommit } from './group-commit.ts';
import { Dispatcher } from './queue-dispatcher.ts';
import { type QueueChange, QueueFile } from './queue-file.ts';

/** Most bytes that may wait for the disk in memory; beyond it `publish` refuses as at the queue's own limit. */
const MOST_WAITING_BYTES = 256 * 2 ** 20;

/**
 * Opens the queue kept in `dir`, making it when it is not there. A queue belongs to one process at a time.
 * Rejects with QueueUnavailable: in use, not writable, no room, or written by another version.
 *
 * While `disks` has less room than its reserve, `publish` rejects with QueueUnavailable.
 */
export async function openLmdbQueue(
  dir: string,
  limits: QueueLimits = DEFAULT_QUEUE_LIMITS,
  disks = new Disks(),
): Promise<Queue> {
  try {
    return new LmdbQueue(await QueueFile.open(dir, limits.maxBytes, disks), limits);
  } catch (cause) {
    throw new QueueUnavailable(`the queue in ${dir} cannot be opened`, { cause });
  }
}

/**
 * The queue on one machine: a file, the transactions that change it, and the dispatcher that hands messages out.
 *
 * A message counts as `pending` from `publish` until its transaction is settled, and as kept in the file from then
 * until the transaction of its acknowledgement. Both counts are checked against the limits, so these are exact however
 * many publish at once.
 */
class LmdbQueue implements Queue {
  private readonly file: QueueFile;
  private readonly limits: QueueLimits;
  private readonly commits: GroupCommit<QueueChange>;
  private readonly dispatcher: Dispatcher;
  private pendingMessages = 0;
  private pendingBytes = 0;
  private closing: Promise<void> | undefined;

  constructor(file: QueueFile, limits: QueueLimits) {
    this.file = file;
    this.limits = limits;
    this.commits = new GroupCommit((changes) => this.commit(changes));
    this.dispatcher = new Dispatcher(file, this.commits);
  }

  get state(): ConnectionState {
    return this.commits.connection.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.commits.connection.watch(listener);
  }

  async publish(body: Uint8Array): Promise<void> {
    this.assertOpen();
    const messages = this.file.messages + this.pendingMessages;
    const bytes = this.file.bytes + this.pendingBytes;
    if (messages >= this.limits.maxMessages || bytes + body.length > this.limits.maxBytes) {
      throw new QueueFull(`the queue is full: it holds ${messages} messages of ${bytes} bytes`);
    }
    if (this.commits.waitingBytes + body.length > MOST_WAITING_BYTES) {
      throw new QueueFull(`the queue is full: ${this.commits.waitingBytes} bytes wait for the disk`);
    }
    const refusal = this.commits.late ?? this.file.refusal();
    if (refusal) {
      throw new QueueUnavailable('the queue could not write the message', { cause: refusal });
    }
    this.pendingMessages++;
    this.pendingBytes += body.length;
    try {
      await this.commits.add({ is: 'publish', sequence: this.file.nextSequence(), body }, body.length);
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

  private async commit(changes: readonly QueueChange[]): Promise<void> {
    try {
      await this.file.commit(changes, this.dispatcher.cursor, this.dispatcher.roomAfter(changes));
    } finally {
      for (const change of changes) {
        if (change.is !== 'publish') continue;
        this.pendingMessages--;
        this.pendingBytes -= change.body.length;
      }
    }
    this.dispatcher.pump();
  }

  /** Changes are written in order: when this last one is settled, written or not, every publish before it is settled too. */
  private async settle(): Promise<void> {
    await this.dispatcher.stop();
    // If this write fails, the only harm is that a first delivery after reopening may count as a second.
    await this.commits.add({ is: 'rest' }).catch(() => {});
  }

  private async letGo(): Promise<void> {
    await this.settle();
    this.dispatcher.close();
    await this.commits.end();
    await this.file.close();
  }

  private assertOpen(): void {
    if (this.closing !== undefined) throw new Closed('the queue');
  }
}
