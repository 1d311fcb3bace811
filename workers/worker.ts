import { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import { DeadLetters } from '../backbone/dead-letters/dead-letters.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Consumer, Delivery, Queue } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import { type Health, healthOf, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { Metrics } from '../core/metrics.ts';
import type { Publish } from '../telemetry/batch.ts';
import { BATCH_BYTES, USUAL_PAYLOAD_BYTES } from '../telemetry/batch-size.ts';
import { letterBytes } from '../telemetry/farm-quotas.ts';
import type { RegistryView } from '../telemetry/registry/registry.ts';
import type { ClockVotes } from './clock-votes.ts';
import { WorkerCounters } from './counters.ts';
import { BatchDecoder } from './decoding/batch-decoder.ts';
import type { Decoder } from './decoding/decoder.ts';
import { PublishDecoder } from './decoding/publish-decoder.ts';
import { type SideQueue, SLOW_QUEUE_FULL, UNDATED_QUEUE_FULL } from './left-apart.ts';
import { Pipeline } from './pipeline.ts';
import { Watchdog } from './watchdog.ts';
import { type BudgetGroup, WorkBudget, type WorkLimits } from './work-budget.ts';
import { WorkNotes } from './work-notes.ts';

export interface WorkerOptions {
  readonly queue: Queue;
  /**
   * The slow queue: publishes are left to it that need a codec or too much time. Without it the worker decodes everything itself, which is
   * what the worker on the slow queue does.
   */
  readonly slow?: Queue | undefined;
  /** Hears what sensors say of the clock. */
  readonly votes?: ClockVotes | undefined;
  /** Where publishes wait that are dated by a clock that nobody believes. Without it every clock is taken for right. */
  readonly undated?: Queue | undefined;
  /** Whether this is the worker on the slow queue: it has names of its own in health and metrics. */
  readonly isSlow?: boolean;
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  /** Opens the log `trials`, which has isolated attempts. Called only when a message was delivered too often. */
  readonly openTrials: () => Promise<Log>;
  readonly log: Logger;
  /** Where the worker counts. Without it the counts are shown nowhere. */
  readonly metrics?: Metrics;
  /** Most unacknowledged queue messages, at work or waiting for room. Left out: as many as `payloadBytes` allows. */
  readonly prefetch?: number;
  /** Largest payload that brokers take whole, bytes: how large a queue message may be, and so how many are prefetched. */
  readonly payloadBytes?: number;
  readonly holding?: WorkLimits;
  /** How payloads are to be read. Without it, only what Loam knows by itself is used. */
  readonly registry?: RegistryView | undefined;
  /** Where the codecs are that the registry names. */
  readonly codecFolder?: string | undefined;
  /** The time limit for decoding one publish, ms. */
  readonly decodeMs?: number;
  /** Wraps the decoder, for tests. */
  readonly decodedBy?: (decoder: Decoder) => Decoder;
  /** The budgets of the workers in this process. */
  readonly group?: BudgetGroup;
  /** Time between two checks of the watchdog, ms. After thirty checks without progress the worker starts over. */
  readonly beatMs?: number;
  /** How often it says which batches it has in hand, ms. */
  readonly notesMs?: number;
}

/** Most messages that are prefetched, and their bytes if each were as large as it may be. */
const PREFETCH = { messages: 128, bytes: 64 * 1024 ** 2 };
const DECODE_MS = 1_000;
/** Room for two full writes under way, one being gathered, and some to spare. */
const HOLDING: WorkLimits = { readings: 20_000, bytes: 32 * 1024 ** 2 };

/**
 * One worker: it takes messages from its queue and sends each on its way (`Pipeline`), at most so many at once (`WorkBudget`).
 *
 * A worker that dies at any point leaves its messages in the queue, and another worker does them again. That is
 * harmless: the store's writes are idempotent, and readers of the live log drop a batch id that they have seen. A worker
 * that stands still without a reason starts over (`Watchdog`).
 *
 * A process has two: one on the queue, which decodes whole messages fast, and one on the slow queue, for publishes that need a codec or too
 * much time. So whoever needs a codec never holds up who does not.
 */
export class Worker implements Part {
  readonly name: string;
  private readonly options: WorkerOptions;
  private readonly counters: WorkerCounters;
  private readonly watchdog: Watchdog;
  private readonly letters: DeadLetters;
  private readonly notes: WorkNotes;
  private readonly toSlow: BatchEntrance;
  private readonly toUndated: BatchEntrance;
  private pipeline: Pipeline;
  private consumer: Consumer | undefined;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.name = options.isSlow ? 'slow worker' : 'worker';
    const gauges = { oldest: () => this.pipeline.oldest, held: () => this.pipeline.heldReadings };
    this.counters = new WorkerCounters(
      options.metrics ?? new Metrics(),
      options.queue,
      gauges,
      options.isSlow ?? false,
    );
    this.letters = new DeadLetters(options.dead, {
      logger: options.log,
      metrics: options.metrics,
      farmQuota: (farm) => letterBytes(options.registry?.current().farms.get(farm)?.quotas),
    });
    const { live, notesMs: beatMs } = options;
    this.notes = new WorkNotes(live, () => this.consumer?.waiting() ?? [], beatMs);
    this.toSlow = new BatchEntrance({ name: 'worker', live, beatMs });
    // Another run of numbers: what goes there is worked off much later than what goes to the slow queue.
    this.toUndated = new BatchEntrance({ name: 'undated', live, beatMs });
    this.pipeline = this.newPipeline();
    this.watchdog = new Watchdog(
      {
        name: this.name,
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
    await this.notes.start();
    if (this.options.slow) await this.toSlow.start();
    if (this.options.undated) await this.toUndated.start();
    const { payloadBytes = USUAL_PAYLOAD_BYTES, prefetch = prefetchFor(payloadBytes) } = this.options;
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
      await Promise.all([this.letters.stop(), this.notes.stop(), this.toSlow.stop(), this.toUndated.stop()]);
    }
  }

  health(): Health[] {
    const { isSlow, queue } = this.options;
    return [healthOf(isSlow ? 'slow queue' : 'queue', queue.state), ...this.pipeline.health(), this.watchdog.health()];
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
    const { store, live, dead, slow, undated, log, openTrials, holding = HOLDING, group } = this.options;
    return new Pipeline({
      store,
      live,
      dead,
      slow: slow && this.slowSide(slow),
      undated: undated && this.undatedSide(undated),
      votes: this.options.votes,
      letters: this.letters,
      notes: this.notes,
      openTrials,
      log,
      counters: this.counters,
      decoder: this.newDecoder(),
      holding: new WorkBudget(holding, group),
      progressed: () => this.watchdog.progressed(),
    });
  }

  private slowSide(queue: Queue): SideQueue {
    const counted = (publishes: readonly Publish[]) => this.counters.leftApart(publishes);
    return { name: 'slow queue', queue, entrance: this.toSlow, counted, ifFull: SLOW_QUEUE_FULL };
  }

  private undatedSide(queue: Queue): SideQueue {
    const counted = (publishes: readonly Publish[]) => this.counters.leftUndated(publishes);
    return { name: 'undated queue', queue, entrance: this.toUndated, counted, ifFull: UNDATED_QUEUE_FULL };
  }

  private newDecoder(): Decoder {
    const { slow, undated, registry, codecFolder, log, decodeMs: limitMs = DECODE_MS, decodedBy } = this.options;
    const progressed = () => this.watchdog.progressed();
    const lost = () => this.counters.lostThread();
    const parts = { registry, codecFolder, log, limitMs, waits: undated !== undefined, progressed, lost };
    const decoder = slow ? new BatchDecoder(parts) : new PublishDecoder(parts);
    return decodedBy?.(decoder) ?? decoder;
  }
}

/** No queue knows a prefetch in bytes. A message is a batch that was ended at `BATCH_BYTES`, so at most one payload longer. */
function prefetchFor(payloadBytes: number): number {
  return Math.min(PREFETCH.messages, Math.floor(PREFETCH.bytes / (BATCH_BYTES + payloadBytes)));
}
