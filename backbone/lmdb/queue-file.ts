import type { Database } from 'lmdb';
import { z } from 'zod';
import type { Disks } from '../files/disk.ts';
import { Environment } from './lmdb.ts';

/** One change of a transaction. `attempts` is how many deliveries of a message have been begun. */
export type QueueChange =
  | { readonly is: 'publish'; readonly sequence: number; readonly body: Uint8Array }
  | { readonly is: 'done'; readonly sequence: number; readonly bytes: number; readonly attempts: number }
  | { readonly is: 'failed'; readonly sequence: number; readonly attempts: number }
  /** No handler is at work on a message now. */
  | { readonly is: 'rest' };

export interface StoredMessage {
  readonly sequence: number;
  readonly body: Uint8Array;
}

const stateSchema = z.object({
  format: z.literal(1),
  messages: z.number(),
  bytes: z.number(),
  handedOut: z.number(),
});
type QueueState = z.infer<typeof stateSchema>;

const EMPTY: QueueState = { format: 1, messages: 0, bytes: 0, handedOut: 0 };

/** More bytes than the state takes, or a count of attempts. */
const SMALL_VALUE = 200;

/**
 * The queue's file: messages by sequence number, and the count of attempts of those that were delivered and not
 * finished.
 *
 * A crash must count as an attempt of every message that a handler was working on, yet a first delivery should cost no
 * write of its own. So the file keeps one mark, `handedOut`: no message above it has been handed to a handler. The mark
 * moves forward in transactions that are made anyway (a publish that a free handler waits for, an acknowledgement that
 * frees one), for as many messages as handlers will have room for. When the file is opened after a crash, every message
 * up to the mark that is still there has had one more attempt.
 */
export class QueueFile {
  private readonly environment: Environment;
  private readonly table: Database<Buffer, number>;
  private readonly attemptsTable: Database<unknown, number>;
  private readonly stateTable: Database<unknown, string>;
  private state: QueueState = EMPTY;
  private lastSequence = 0;
  /** The highest sequence number in the file so far. */
  newest = 0;

  private constructor(environment: Environment) {
    this.environment = environment;
    this.table = environment.numbered('messages');
    this.attemptsTable = environment.values('attempts');
    this.stateTable = environment.values('state');
  }

  /** Rejects as `Environment.open` does, or with ZodError when the state is not valid. */
  static async open(dir: string, maxBytes: number, disks: Disks): Promise<QueueFile> {
    // A small message takes more room than its bytes; pages are reused only some transactions later.
    const environment = await Environment.open(dir, maxBytes * 2 + 2 ** 30, disks);
    try {
      const file = new QueueFile(environment);
      await file.recover();
      return file;
    } catch (error) {
      await environment.close();
      throw error;
    }
  }

  get messages(): number {
    return this.state.messages;
  }

  get bytes(): number {
    return this.state.bytes;
  }

  /** No message above this one may be handed to a handler. */
  get handedOut(): number {
    return this.state.handedOut;
  }

  /** The error for a publish that the disk's last check has no room for, counted as a refusal. */
  refusal(): Error | undefined {
    return this.environment.refusal('incoming');
  }

  nextSequence(): number {
    return ++this.lastSequence;
  }

  /** Up to `limit` messages from `first` on that may be handed out. */
  read(first: number, limit: number): StoredMessage[] {
    const range = this.table.getRange({ start: first, end: this.handedOut + 1, limit });
    return Array.from(range, ({ key, value }) => ({ sequence: key, body: value }));
  }

  body(sequence: number): Uint8Array | undefined {
    return this.table.get(sequence);
  }

  attempts(sequence: number): number {
    return z.number().parse(this.attemptsTable.get(sequence) ?? 0);
  }

  /**
   * One transaction. `room` is how many more messages handlers will have room for after it, beyond those up to `cursor`.
   * Resolves when it is on disk; rejects when nothing of it was kept.
   */
  async commit(changes: readonly QueueChange[], cursor: number, room: number): Promise<void> {
    let { messages, bytes } = this.state;
    const published: number[] = [];
    const gone = new Set<number>();
    for (const change of changes) {
      if (change.is === 'publish') {
        messages++;
        bytes += change.body.length;
        published.push(change.sequence);
      } else if (change.is === 'done' && !gone.has(change.sequence) && this.table.doesExist(change.sequence)) {
        // An acknowledgement may come twice, when the first was late and its caller tried again.
        messages--;
        bytes -= change.bytes;
        gone.add(change.sequence);
      }
    }
    const resting = changes.some(({ is }) => is === 'rest');
    const handedOut = resting && room === 0 ? 0 : this.mark(cursor, room, published);
    const next: QueueState = { format: 1, messages, bytes, handedOut };
    const use = published.length > 0 ? 'incoming' : 'done';
    await this.environment.write(sizesOf(changes), use, () => {
      for (const change of changes) this.apply(change);
      void this.stateTable.put('queue', next);
    });
    this.state = next;
    this.newest = Math.max(this.newest, published.at(-1) ?? 0);
  }

  async close(): Promise<void> {
    await this.environment.close();
  }

  private apply(change: QueueChange): void {
    switch (change.is) {
      case 'publish':
        void this.table.put(
          change.sequence,
          Buffer.from(change.body.buffer, change.body.byteOffset, change.body.length),
        );
        return;
      case 'done':
        void this.table.remove(change.sequence);
        if (change.attempts > 1) void this.attemptsTable.remove(change.sequence);
        return;
      case 'failed':
        void this.attemptsTable.put(change.sequence, change.attempts);
        return;
      case 'rest':
        return;
    }
  }

  /** The new `handedOut`: the number of the last message, as far as there are so many, that handlers will have room for. */
  private mark(cursor: number, room: number, published: readonly number[]): number {
    if (room === 0) return this.handedOut;
    const waiting = [...this.table.getKeys({ start: cursor + 1, limit: room })];
    const next = [...waiting, ...published].slice(0, room);
    return Math.max(this.handedOut, cursor, next.at(-1) ?? 0);
  }

  private async recover(): Promise<void> {
    const stored = this.stateTable.get('queue');
    this.state = stored === undefined ? EMPTY : stateSchema.parse(stored);
    for (const key of this.table.getKeys({ reverse: true, limit: 1 })) this.newest = key;
    this.lastSequence = this.newest;
    const interrupted = [...this.table.getKeys({ end: this.handedOut + 1 })];
    const attempts = interrupted.map((sequence) => [sequence, this.attempts(sequence) + 1] as const);
    const next = { ...this.state, handedOut: 0 };
    const puts = [...attempts.map(() => SMALL_VALUE), SMALL_VALUE];
    await this.environment.write({ puts, removes: 0 }, 'done', () => {
      for (const [sequence, count] of attempts) void this.attemptsTable.put(sequence, count);
      void this.stateTable.put('queue', next);
    });
    this.state = next;
  }
}

function sizesOf(changes: readonly QueueChange[]) {
  const puts = [SMALL_VALUE];
  let removes = 0;
  for (const change of changes) {
    if (change.is === 'publish') puts.push(change.body.length);
    else if (change.is === 'failed') puts.push(SMALL_VALUE);
    // From two tables, when it was delivered more than once.
    else if (change.is === 'done') removes += change.attempts > 1 ? 2 : 1;
  }
  return { puts, removes };
}
