import { backoff, pause } from '../../core/timing.ts';
import type { Consumer, Handler } from '../ports/queue.ts';
import type { GroupCommit } from './group-commit.ts';
import type { QueueChange, QueueFile, StoredMessage } from './queue-file.ts';

/** Most failed messages that wait for their next attempt at once. At the limit no new message is handed out. */
const MOST_PAUSING = 1_000;
const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 30_000;

interface Returned {
  readonly sequence: number;
  readonly attempts: number;
}

/** One consumer: its handler, and how many messages it holds whose outcome is not on disk yet. */
class LocalConsumer {
  readonly handler: Handler;
  readonly prefetch: number;
  private readonly stopping = new AbortController();
  private readonly emptied: Promise<void>;
  private whenEmpty = () => {};
  private holds = 0;

  constructor(handler: Handler, prefetch: number) {
    this.handler = handler;
    this.prefetch = prefetch;
    this.emptied = new Promise((resolve) => {
      this.whenEmpty = resolve;
    });
  }

  get stopped(): AbortSignal {
    return this.stopping.signal;
  }

  get room(): number {
    return this.stopped.aborted ? 0 : this.prefetch - this.holds;
  }

  take(): void {
    this.holds++;
  }

  letGo(): void {
    this.holds--;
    if (this.holds === 0 && this.stopped.aborted) this.whenEmpty();
  }

  /** Takes no more messages; resolves when it holds none. */
  stop(): Promise<void> {
    this.stopping.abort();
    if (this.holds === 0) this.whenEmpty();
    return this.emptied;
  }
}

/**
 * Hands messages to handlers and stores the outcome.
 *
 * A message waits in the file until a consumer has room. Then it is read and handed over. It keeps its place with that
 * consumer until the outcome is on disk. If the handler resolved, the message is removed. If it rejected, the attempt
 * is counted in the file, the message pauses, longer each time, and then is `returned`: it goes before messages that
 * were never delivered. A message that a stopped consumer was given, and its handler has not begun, is returned at
 * once. Then no attempt is counted.
 */
export class Dispatcher {
  private readonly file: QueueFile;
  private readonly commits: GroupCommit<QueueChange>;
  private readonly workers = new Set<LocalConsumer>();
  private readonly pausing = new Set<NodeJS.Timeout>();
  private returned: Returned[] = [];
  /** Every message up to this one has been handed out for the first time. */
  cursor = 0;

  constructor(file: QueueFile, commits: GroupCommit<QueueChange>) {
    this.file = file;
    this.commits = commits;
  }

  consume(handler: Handler, prefetch: number): Consumer {
    const worker = new LocalConsumer(handler, prefetch);
    this.workers.add(worker);
    this.pump();
    // What is given to a consumer is with its handler at once.
    return { stop: () => this.stopOne(worker), restart: () => this.pump(), waiting: () => [] };
  }

  /** How many more messages consumers will have room for once `changes` are on disk. */
  roomAfter(changes: readonly QueueChange[]): number {
    const working = [...this.workers].some((worker) => !worker.stopped.aborted);
    return working ? this.room() + changes.filter(({ is }) => is === 'done' || is === 'failed').length : 0;
  }

  /**
   * Hands out what the file's mark `handedOut` allows and consumers have room for; called whenever either may have
   * changed.
   */
  pump(): void {
    this.handOutReturned();
    if (this.pausing.size < MOST_PAUSING) this.handOutNew();
    if (this.room() > 0 && this.isHeldBack()) this.commits.commitSoon();
  }

  /** Stops every consumer. */
  async stop(): Promise<void> {
    await Promise.all([...this.workers].map((worker) => this.stopOne(worker)));
  }

  /** Forgets the messages that pause; the file still has them. */
  close(): void {
    for (const timer of this.pausing) clearTimeout(timer);
    this.pausing.clear();
    this.returned = [];
  }

  private async stopOne(worker: LocalConsumer): Promise<void> {
    await worker.stop();
    this.workers.delete(worker);
  }

  private room(): number {
    let room = 0;
    for (const worker of this.workers) room += worker.room;
    return room;
  }

  private handOutReturned(): void {
    for (let room = this.room(); room > 0; room--) {
      const [next] = this.returned;
      if (next === undefined || next.sequence > this.file.handedOut) return;
      this.returned.shift();
      const body = this.file.body(next.sequence);
      if (body !== undefined) this.give({ sequence: next.sequence, body }, next.attempts);
    }
  }

  private handOutNew(): void {
    const room = this.room();
    if (room === 0 || this.file.handedOut <= this.cursor) return;
    for (const kept of this.file.read(this.cursor + 1, room)) {
      this.cursor = kept.sequence;
      this.give(kept, this.file.attempts(kept.sequence));
    }
  }

  /** Whether a message waits only because the file's mark `handedOut` is still below it. */
  private isHeldBack(): boolean {
    const [next] = this.returned;
    if (next !== undefined) return next.sequence > this.file.handedOut;
    return this.pausing.size < MOST_PAUSING && this.file.waitsBehind(Math.max(this.file.handedOut, this.cursor));
  }

  /** Gives a message to the consumer with the most room, so that work is spread. */
  private give(kept: StoredMessage, attempts: number): void {
    let chosen: LocalConsumer | undefined;
    for (const worker of this.workers) {
      if (worker.room > (chosen?.room ?? 0)) chosen = worker;
    }
    if (chosen === undefined) {
      this.giveBack({ sequence: kept.sequence, attempts });
    } else {
      chosen.take();
      void this.work(chosen, kept, attempts);
    }
  }

  private async work(worker: LocalConsumer, kept: StoredMessage, attempts: number): Promise<void> {
    // A handler may stop its consumer, or publish: it must not run in the middle of handing out.
    await undefined;
    if (worker.stopped.aborted) {
      this.giveBack({ sequence: kept.sequence, attempts });
    } else {
      await this.attempt(worker, kept, attempts + 1);
    }
    worker.letGo();
    this.pump();
  }

  private async attempt(worker: LocalConsumer, { sequence, body }: StoredMessage, attempt: number): Promise<void> {
    let change: QueueChange;
    try {
      await worker.handler({ body, attempt });
      change = { is: 'done', sequence, bytes: body.length, attempts: attempt };
    } catch {
      // Handlers report their own errors; to the queue a rejection means: not done.
      change = { is: 'failed', sequence, attempts: attempt };
    }
    const kept = await this.storeOutcome(worker, change);
    if (change.is === 'failed') this.pauseThenGiveBack({ sequence, attempts: attempt });
    else if (!kept) this.giveBack({ sequence, attempts: attempt });
  }

  /**
   * Tries until the change is on disk. If the consumer is stopping, resolves to false; the message will be delivered
   * again.
   */
  private async storeOutcome(worker: LocalConsumer, change: QueueChange): Promise<boolean> {
    for (let tries = 0; ; tries++) {
      try {
        await this.commits.add(change);
        return true;
      } catch {
        // The connection's state tells why.
        if (worker.stopped.aborted) return false;
        await pause(backoff(tries, 100, 5_000), worker.stopped);
      }
    }
  }

  private pauseThenGiveBack(message: Returned): void {
    const ms = SHORTEST_PAUSE_MS + backoff(message.attempts, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
    const timer = setTimeout(() => {
      this.pausing.delete(timer);
      this.giveBack(message);
      this.pump();
    }, ms);
    this.pausing.add(timer);
  }

  private giveBack(message: Returned): void {
    this.returned.push(message);
    this.returned.sort((a, b) => a.sequence - b.sequence);
  }
}
