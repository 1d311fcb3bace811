import type { Log } from '../backbone/log/port.ts';
import type { Consumer, Delivery, Queue } from '../backbone/queue/port.ts';
import type { Store } from '../backbone/store/port.ts';
import { EncodingInvalid, explain, StoreRejected } from '../core/errors.ts';
import { type Health, healthOf, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { Metrics } from '../core/metrics.ts';
import { type Batch, type DeadLetter, decodeBatch, encodeDead, encodeLive } from '../telemetry/batch.ts';
import type { Reading } from '../telemetry/reading.ts';
import { WorkerCounters } from './counters.ts';
import { Patience } from './outage.ts';
import { rejectedByStore, unreadable, validateBatch } from './validate.ts';

export interface WorkerOptions {
  readonly queue: Queue;
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  readonly log: Logger;
  /** Where it counts; without it nobody can see. */
  readonly metrics?: Metrics;
  /** Batches held at once: the bound of a worker's memory. */
  readonly prefetch?: number;
}

/**
 * One worker. Its whole story:
 *
 * 1. A batch of raw publishes comes from the queue; up to `prefetch` are at work at once.
 * 2. Every publish becomes readings, or a dead letter that says why not.
 * 3. Readings go to the live log and to the store at the same time, dead letters to their log. Whoever is away is waited for, with the batch in hand.
 * 4. When all three have it on disk, and only then, the batch is acknowledged.
 *
 * A worker that dies at any point leaves the batch in the queue; the next one does it again. That is harmless: the store's writes
 * are idempotent, and readers of the live log drop a batch id that they have seen.
 */
export class Worker implements Part {
  readonly name = 'worker';
  private readonly counters: WorkerCounters;
  private readonly options: WorkerOptions;
  private readonly stopping = new AbortController();
  private readonly patience: Patience;
  private consumer: Consumer | undefined;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.counters = new WorkerCounters(options.metrics ?? new Metrics(), options.queue);
    this.patience = new Patience(options.log, this.stopping.signal);
  }

  async start(): Promise<void> {
    this.consumer = await this.options.queue.consume((delivery) => this.work(delivery), {
      prefetch: this.options.prefetch ?? 32,
    });
  }

  /** Finishes the batches at work. One that waits for an outage to end goes back to the queue when half the deadline is over. */
  async stop(deadlineMs: number): Promise<void> {
    const giveBack = setTimeout(() => this.stopping.abort(), deadlineMs / 2);
    try {
      await this.consumer?.stop();
    } finally {
      clearTimeout(giveBack);
      this.stopping.abort();
    }
  }

  health(): Health[] {
    const { queue, store, live, dead } = this.options;
    return [
      healthOf('queue', queue.state),
      healthOf('store', store.state),
      healthOf('live log', live.state),
      healthOf('dead-letter log', dead.state),
    ];
  }

  private async work(delivery: Delivery): Promise<void> {
    if (delivery.attempt > 1) this.counters.redelivered();
    const batch = this.read(delivery);
    if (!batch) return this.setAside([unreadable(delivery.body, Date.now())]);
    const { readings, dead } = validateBatch(batch, Date.now());
    await Promise.all([this.announce(batch.id, readings), this.store(readings), this.setAside(dead)]);
    this.counters.stored(batch, readings);
  }

  private read(delivery: Delivery): Batch | undefined {
    try {
      return decodeBatch(delivery.body);
    } catch (error) {
      if (!(error instanceof EncodingInvalid)) throw error;
      this.options.log.error(`a queue message cannot be read and is set aside: ${explain(error)}`);
      return undefined;
    }
  }

  private async announce(id: string, readings: readonly Reading[]): Promise<void> {
    if (readings.length === 0) return;
    const entry = encodeLive({ id, readings });
    await this.patience.until('live log', () => this.options.live.append(entry));
  }

  /** Writes readings. When the store refuses some of them for good, halves them until the guilty ones stand alone, and sets those aside. */
  private async store(readings: readonly Reading[]): Promise<void> {
    if (readings.length === 0) return;
    try {
      await this.patience.until('store', () => this.options.store.write(readings));
    } catch (error) {
      if (!(error instanceof StoreRejected)) throw error;
      const [only, ...others] = readings;
      if (only && others.length === 0) return this.setAside([rejectedByStore(only, explain(error), Date.now())]);
      const half = Math.ceil(readings.length / 2);
      await this.store(readings.slice(0, half));
      await this.store(readings.slice(half));
    }
  }

  private async setAside(letters: readonly DeadLetter[]): Promise<void> {
    await Promise.all(
      letters.map((letter) =>
        this.patience.until('dead-letter log', () => this.options.dead.append(encodeDead(letter))),
      ),
    );
    this.counters.setAside(letters);
  }
}
