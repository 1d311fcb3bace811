import { clock } from '../../core/clock.ts';
import { Closed, explain, QueueUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Disks } from '../files/disk.ts';
import type { Consumer, Delivery, Handler, Queue } from '../ports/queue.ts';
import { openFileQueue } from '../segments/queue.ts';

export interface SpoolOptions {
  /** The spool's folder. It belongs to one process at a time. */
  readonly dir: string;
  /** Most bytes that wait in the spool; beyond them `publish` rejects with QueueFull. */
  readonly maxBytes: number;
  /** Opens the far queue, which all messages go to in the end. Tried again and again while it rejects. */
  readonly openFar: () => Promise<Queue>;
  readonly log: Logger;
  readonly disks?: Disks | undefined;
}

/** Most messages that are on their way from the spool to the far queue at once. */
const FORWARDED_AT_ONCE = 16;
const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

/**
 * Opens a queue for a network line that breaks: a queue on this machine in front of the far one. Resolves also
 * when the far queue cannot be reached. Rejects with QueueUnavailable when the spool itself cannot be opened.
 */
export async function openSpool(options: SpoolOptions): Promise<SpooledQueue> {
  const { dir, maxBytes, disks } = options;
  let spool: SpooledQueue | undefined;
  const limits = { maxMessages: Number.MAX_SAFE_INTEGER, maxBytes };
  const near = await openFileQueue(dir, limits, disks, () => spool?.cannotForward());
  spool = await SpooledQueue.open(near, options);
  await spool.begin();
  return spool;
}

/** A message that was read from the spool. `resolve` removes it there; `reject` leaves it there. */
interface SpooledMessage {
  readonly order: number;
  readonly body: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Store and forward. While the far queue takes messages they go straight to it. When it cannot be reached, a message is
 * kept in the spool, on disk. From then on every message goes into the spool, until all were forwarded: in the order in
 * which they were accepted, at full speed, and by the next process if this one ends. When the far queue is full,
 * nothing is spooled: publishers wait, as without a spool.
 *
 * A message that was on its way when the line broke may reach the far queue twice; its batch id shows that it is the
 * same.
 */
export class SpooledQueue implements Queue {
  private readonly near: Queue;
  private readonly log: Logger;
  private readonly closing = new AbortController();
  private readonly watched = new Watched();
  private readonly arriving: Promise<void>;
  private far: Queue | undefined;
  private farWhy = 'it was not reached yet';
  private inSpool: number;
  /** Messages that could not be read since spooling began. */
  private unreadable = 0;
  /** Messages read from the spool, in the order in which they are to be sent. */
  private readonly line: SpooledMessage[] = [];
  private order = 0;
  private onTheirWay = 0;
  private tries = 0;
  private held = false;
  private wake = new AbortController();
  private spoolingSince: number | undefined;
  private closed: Promise<void> | undefined;

  private constructor(near: Queue, inSpool: number, { openFar, log }: SpoolOptions) {
    this.near = near;
    this.inSpool = inSpool;
    this.log = log;
    near.watch((state) => this.watched.set(state));
    this.watched.set(near.state);
    this.arriving = this.reach(openFar);
  }

  static async open(near: Queue, options: SpoolOptions): Promise<SpooledQueue> {
    const inSpool = await near.depth();
    const queue = new SpooledQueue(near, inSpool, options);
    if (inSpool > 0) queue.sayBegun('messages of an earlier run wait in it');
    return queue;
  }

  /** Begins to forward what waits. To be called once. */
  async begin(): Promise<void> {
    await this.near.consume((delivery) => this.forward(delivery), { prefetch: FORWARDED_AT_ONCE });
  }

  /** A message in the spool turned out to be one that cannot be read. */
  cannotForward(): void {
    this.unreadable += 1;
    this.leave();
  }

  /** How many messages wait to be forwarded. */
  get spooled(): number {
    return this.inSpool;
  }

  /** The state of the spool: up while messages can be kept on this machine, whether or not the far queue can be reached. */
  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  async publish(body: Uint8Array): Promise<void> {
    this.refuseClosed();
    const { far } = this;
    if (far?.state.is === 'up' && this.inSpool === 0) {
      try {
        return await far.publish(body);
      } catch (error) {
        if (!(error instanceof QueueUnavailable)) throw error;
        this.farWhy = explain(error);
      }
    }
    await this.keep(body);
  }

  async consume(handler: Handler, options: { readonly prefetch: number }): Promise<Consumer> {
    return await this.reached().consume(handler, options);
  }

  async depth(): Promise<number> {
    return this.inSpool + (await this.reached().depth());
  }

  async drain(): Promise<void> {
    this.refuseClosed();
    await this.far?.drain();
  }

  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    this.closing.abort();
    this.wake.abort();
    this.pump();
    await this.near.close();
    await this.arriving;
    await this.far?.close();
    this.watched.set({ is: 'closed' });
  }

  private async keep(body: Uint8Array): Promise<void> {
    this.inSpool += 1;
    try {
      await this.near.publish(body);
    } catch (error) {
      this.leave();
      throw error;
    }
    this.sayBegun(this.far?.state.is === 'down' ? this.far.state.why : this.farWhy);
  }

  /** Resolves when the far queue has the message. Rejects when the spool is closed before that: it keeps the message. */
  private forward({ body }: Delivery): Promise<void> {
    return new Promise((resolve, reject) => {
      this.order += 1;
      this.line.push({ order: this.order, body, resolve, reject });
      this.pump();
    });
  }

  private pump(): void {
    while (!this.held) {
      if (this.closing.signal.aborted) {
        for (const { reject } of this.line.splice(0)) reject(new Closed('the spool'));
        return;
      }
      const { far } = this;
      const [next] = this.line;
      if (!next) return;
      if (far?.state.is !== 'up') return void this.holdOn();
      this.line.shift();
      this.onTheirWay += 1;
      void this.send(far, next);
    }
  }

  /**
   * Sends one message. If that fails, it goes back to its place, and nothing is sent until all others on their way have
   * ended.
   */
  private async send(far: Queue, message: SpooledMessage): Promise<void> {
    try {
      await far.publish(message.body);
      this.tries = 0;
      this.leave();
      message.resolve();
    } catch (error) {
      this.farWhy = explain(error);
      const place = this.line.findIndex(({ order }) => order > message.order);
      this.line.splice(place < 0 ? this.line.length : place, 0, message);
      this.held = true;
    }
    this.onTheirWay -= 1;
    if (this.held && this.onTheirWay === 0) void this.holdOn();
  }

  /** Waits, longer each time, or until the far queue says that it is up; then goes on. */
  private async holdOn(): Promise<void> {
    this.held = true;
    this.wake = new AbortController();
    await pause(backoff(this.tries++, FIRST_RETRY_MS, MOST_RETRY_MS), this.wake.signal);
    this.held = false;
    this.pump();
  }

  private leave(): void {
    this.inSpool = Math.max(0, this.inSpool - 1);
    if (this.inSpool > 0 || this.spoolingSince === undefined) return;
    const seconds = Math.round((clock.passed() - this.spoolingSince) / 1_000);
    const { unreadable } = this;
    this.spoolingSince = undefined;
    this.unreadable = 0;
    const but =
      unreadable === 0 ? '' : ` but for ${unreadable} message${unreadable === 1 ? '' : 's'} that cannot be read`;
    this.log.info({ event: 'spool_empty', seconds, unreadable }, `everything in the spool was forwarded${but}`);
  }

  private sayBegun(why: string): void {
    if (this.spoolingSince !== undefined) return;
    this.spoolingSince = clock.passed();
    this.log.warn({ event: 'spooling' }, `the queue cannot be reached, messages are kept in the spool: ${why}`);
  }

  private async reach(openFar: () => Promise<Queue>): Promise<void> {
    for (let tries = 0; !this.closing.signal.aborted; tries++) {
      try {
        const far = await openFar();
        far.watch((state) => {
          if (state.is === 'up') this.wake.abort();
        });
        this.far = far;
        this.wake.abort();
        return;
      } catch (error) {
        this.farWhy = explain(error);
      }
      await pause(backoff(tries, FIRST_RETRY_MS, MOST_RETRY_MS), this.closing.signal);
    }
  }

  private reached(): Queue {
    this.refuseClosed();
    if (this.far) return this.far;
    throw new QueueUnavailable(`the queue is not available: ${this.farWhy}`);
  }

  private refuseClosed(): void {
    if (this.closed !== undefined) throw new Closed('the spool');
  }
}
