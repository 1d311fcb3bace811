import { DeadLetters } from '../backbone/dead-letters/dead-letters.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Consumer, Delivery, Queue } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import { type Health, healthOf, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { Metrics } from '../core/metrics.ts';
import { WorkerCounters } from './counters.ts';
import { Pipeline } from './pipeline.ts';
import { createValidate, type Validate } from './validate.ts';
import { Watchdog } from './watchdog.ts';
import type { WorkLimits } from './work-budget.ts';

export interface WorkerOptions {
  readonly queue: Queue;
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  /** Opens the log `trials`, which has isolated attempts. Called only when a message was delivered too often. */
  readonly openTrials: () => Promise<Log>;
  readonly log: Logger;
  /** Where the worker counts. Without it the counts are shown nowhere. */
  readonly metrics?: Metrics;
  /** Most unacknowledged queue messages, at work or waiting for room. With `holding` it bounds a worker's memory. */
  readonly prefetch?: number;
  readonly holding?: WorkLimits;
  /** Makes readings of publishes. The default reads them without a registry and without codecs. */
  readonly validate?: Validate;
  /** Time between two checks of the watchdog, ms. After thirty checks without progress the worker starts over. */
  readonly beatMs?: number;
}

const PREFETCH = 128;
/** Room for two full writes under way, one being gathered, and some to spare. */
const HOLDING: WorkLimits = { readings: 20_000, bytes: 32 * 1024 ** 2 };

/**
 * One worker. What it does with each queue message:
 *
 * 1. The queue delivers a batch of raw publishes. `WorkBudget` bounds how many messages are at work at once.
 * 2. Every publish becomes readings, or a dead letter with the reason (`validate`).
 * 3. Readings go to the live log at once, and to the store in one write with those of other messages (`Fold`). Dead
 *    letters go to their log. While one of the three is away, the worker keeps the message at work and waits
 *    (`OutageGate`).
 * 4. When all three have it on disk, and only then, the message is acknowledged.
 *
 * A worker that dies at any point leaves its messages in the queue, and another worker does them again. That is
 * harmless: the store's writes are idempotent, and readers of the live log drop a batch id that they have seen. A
 * message that keeps killing workers is divided until the publish that does it is found (`PoisonIsolation`). A worker
 * that stands still without a reason starts over (`Watchdog`).
 */
export class Worker implements Part {
  readonly name = 'worker';
  private readonly options: WorkerOptions;
  private readonly counters: WorkerCounters;
  private readonly watchdog: Watchdog;
  private readonly letters: DeadLetters;
  private pipeline: Pipeline;
  private consumer: Consumer | undefined;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.counters = new WorkerCounters(options.metrics ?? new Metrics(), options.queue, {
      oldest: () => this.pipeline.oldest,
      held: () => this.pipeline.heldReadings,
    });
    this.letters = new DeadLetters(options.dead, { logger: options.log, metrics: options.metrics });
    this.pipeline = this.newPipeline();
    this.watchdog = new Watchdog(
      {
        holds: () => this.pipeline.holds,
        waits: () => this.pipeline.waits || options.queue.state.is !== 'up',
        pending: () => options.queue.depth(),
        stalled: (why) => this.startOver(why),
      },
      options.beatMs,
    );
  }

  async start(): Promise<void> {
    await this.letters.start();
    const prefetch = this.options.prefetch ?? PREFETCH;
    this.consumer = await this.options.queue.consume((delivery) => this.work(delivery), { prefetch });
    this.watchdog.start();
  }

  /** Finishes the messages at work. Those that are not finished after half the deadline go back to the queue. */
  async stop(deadlineMs: number): Promise<void> {
    this.watchdog.stop();
    const giveBack = setTimeout(() => this.pipeline.giveUp('the worker was stopped'), deadlineMs / 2);
    try {
      await this.consumer?.stop();
    } finally {
      clearTimeout(giveBack);
      this.pipeline.giveUp('the worker was stopped');
      await this.letters.stop();
    }
  }

  health(): Health[] {
    return [healthOf('queue', this.options.queue.state), ...this.pipeline.health(), this.watchdog.health()];
  }

  private work(delivery: Delivery): Promise<void> {
    this.watchdog.progressed();
    return this.pipeline.work(delivery);
  }

  private startOver(why: string): void {
    this.options.log.error(`the worker stands still and starts over: ${why}`);
    this.counters.startedOver();
    this.pipeline.giveUp('the worker stood still');
    this.pipeline = this.newPipeline();
    this.consumer?.restart();
  }

  private newPipeline(): Pipeline {
    const { store, live, dead, log, openTrials, validate = createValidate(), holding = HOLDING } = this.options;
    return new Pipeline({
      store,
      live,
      dead,
      letters: this.letters,
      openTrials,
      log,
      counters: this.counters,
      validate,
      holding,
      progressed: () => this.watchdog.progressed(),
    });
  }
}
