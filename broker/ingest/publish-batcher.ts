import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { type Health, healthOf } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { FarmCounter, Metrics } from '../../core/metrics.ts';
import { backoff } from '../../core/timing.ts';
import { placeId } from '../../telemetry/account/batch-place.ts';
import type { BatchRun } from '../../telemetry/account/batch-run.ts';
import { encodeBatch, type Publish } from '../../telemetry/batch.ts';
import type { BrokerCounters } from '../counters.ts';
import type { BrokerLimits } from '../limits.ts';
import { QueueAbsence } from './queue-absence.ts';

/** What became of a publish. `kept`: the queue confirmed it, in its batch. `dropped`: it was given up and must not be acknowledged. */
export type Fate = 'kept' | 'dropped';

/** Who brought a publish, and is told what became of it. */
export interface Publisher {
  /** While it is true, the publish is tried again and again; otherwise a refusal drops it. */
  readonly waits: boolean;
  /** Whether it was published with QoS 0, or is a will: then it is counted apart when it is dropped. */
  readonly atMostOnce: boolean;
  /** Called once. Must not throw. */
  settle(fate: Fate): void;
}

interface Item {
  readonly publish: Publish;
  readonly publisher: Publisher;
}

interface OpenBatch {
  readonly order: number;
  /** It has its id from the first attempt on. */
  id?: string;
  /** The run of the entrance that was current when it was begun: that says by which clock its publishes were received. */
  readonly run: BatchRun;
  items: Item[];
  bytes: number;
}

type BatchLimits = Pick<BrokerLimits, 'batchPublishes' | 'batchBytes' | 'batchMs' | 'batches'>;

const OVERHEAD_BYTES = 64;
const FIRST_RETRY_MS = 50;
/** A pause is at most this plus the first one: below half the shortest keepalive (0.5 s), so that it closes no client. */
const MOST_RETRY_MS = 250;

/**
 * Gathers publishes into batches and publishes them to the queue, many batches at once.
 *
 * The batcher is open or shut. While it is open, a batch is sent when it is full or old enough. When `batches` are on
 * their way already, the batch waits until one of them is confirmed, and fills up meanwhile. A refused batch shuts the
 * batcher. The refused batch goes back to its place, without the publishes that no client waits for. While the batcher
 * is shut, batches are tried one at a time, the oldest first, with growing pauses. When none is left, an empty batch is
 * tried: QoS 0 publishes are dropped while shut, so they could not open it. The first confirm opens the batcher.
 * A batch keeps its id in all attempts, and only ever loses publishes. So a second copy is recognised by its id. Its number is of one attempt: so
 * numbers stand in the queue in their order, also after a refusal.
 *
 * The batcher has no limit of its own for publishes: its callers limit what they bring.
 */
export class PublishBatcher {
  private readonly queue: Queue;
  private readonly limits: BatchLimits;
  private readonly counters: BrokerCounters;
  private readonly absence: QueueAbsence;
  private readonly entrance: BatchEntrance;
  private readonly taken: FarmCounter;
  private readonly queued: FarmCounter;
  private readonly unwatch: () => void;
  private ready: OpenBatch[] = [];
  private filling: OpenBatch | undefined;
  private due = false;
  private fillTimer: NodeJS.Timeout | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private inFlight = 0;
  private order = 0;
  private failures = 0;
  private probing = false;
  private why = '';
  private closed = false;
  private wake: () => void = () => {};

  /** Without `metrics` its counts by farm are not visible anywhere, and without `entrance` nobody is told of its batches' numbers. */
  constructor(
    queue: Queue,
    limits: BatchLimits,
    counters: BrokerCounters,
    log: Logger,
    metrics = new Metrics(),
    entrance = new BatchEntrance({ name: 'broker' }),
  ) {
    this.taken = new FarmCounter(
      metrics,
      'loam_publishes_accepted_total',
      'Publishes that were taken on for the queue',
    );
    this.queued = new FarmCounter(metrics, 'loam_publishes_queued_total', 'Publishes that the queue has confirmed');
    this.queue = queue;
    this.limits = limits;
    this.counters = counters;
    this.absence = new QueueAbsence(log);
    this.entrance = entrance;
    this.unwatch = queue.watch((state) => {
      if (state.is === 'up') this.tryNow();
    });
  }

  /** Whether the queue refused the last batch that was settled. */
  get shut(): boolean {
    return this.failures > 0;
  }

  health(): Health {
    if (this.shut) return { name: 'queue', ok: false, why: this.why };
    return healthOf('queue', this.queue.state);
  }

  /** Resolves when the batch with the publish was confirmed, or the publish was given up. Never rejects. */
  add(publish: Publish, owner: { readonly waits: boolean }): Promise<Fate> {
    return new Promise((settle) => {
      const publisher = {
        get waits() {
          return owner.waits;
        },
        atMostOnce: false,
        settle,
      };
      this.offer(publish, publisher);
    });
  }

  /** The same without a promise, for many publishes: `publisher` is told. */
  offer(publish: Publish, publisher: Publisher): void {
    const item = { publish, publisher };
    if (this.closed || (this.shut && !publisher.waits)) this.drop(item);
    else this.put(item);
  }

  /** While shut: drops the publishes that no client waits for any more. */
  prune(): void {
    if (!this.shut) return;
    for (const batch of this.ready) this.dropUnwaited(batch);
    if (this.filling) this.dropUnwaited(this.filling);
    this.ready = this.ready.filter((batch) => batch.items.length > 0);
  }

  /** Sends what is waiting. Resolves when everything is confirmed, or after `ms`. */
  async drain(ms: number): Promise<void> {
    this.due = true;
    this.pump();
    const end = clock.passed() + ms;
    while (!this.idle && clock.passed() < end) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, end - clock.passed());
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Gives up everything that waits to be sent, and later also what the queue refuses. */
  close(): void {
    this.closed = true;
    this.unwatch();
    clearTimeout(this.fillTimer);
    clearTimeout(this.retryTimer);
    this.absence.close();
    this.seal();
    for (const batch of this.ready.splice(0)) this.giveUp(batch);
  }

  private get idle(): boolean {
    return this.inFlight === 0 && this.ready.length === 0 && this.filling === undefined;
  }

  private put(item: Item): void {
    if (this.filling && this.filling.run !== this.entrance.current) this.seal();
    this.filling ??= this.newBatch();
    const batch = this.filling;
    batch.items.push(item);
    batch.bytes += item.publish.payload.length + item.publish.topic.length + OVERHEAD_BYTES;
    if (batch.items.length >= this.limits.batchPublishes || batch.bytes >= this.limits.batchBytes) {
      this.seal();
      this.pump();
    }
  }

  private newBatch(): OpenBatch {
    this.due = false;
    this.fillTimer = setTimeout(() => {
      this.due = true;
      this.pump();
    }, this.limits.batchMs);
    this.order += 1;
    return { order: this.order, run: this.entrance.current, items: [], bytes: 0 };
  }

  private seal(): void {
    if (!this.filling) return;
    clearTimeout(this.fillTimer);
    this.taken.add(publishesOf(this.filling));
    this.ready.push(this.filling);
    this.filling = undefined;
  }

  private pump(): void {
    if (this.closed) return;
    while (this.maySend()) {
      if (this.ready.length === 0 && this.due) this.seal();
      const batch = this.ready.shift();
      if (!batch) break;
      this.inFlight += 1;
      void this.send(batch);
    }
    if (this.idle) this.wake();
  }

  private maySend(): boolean {
    if (this.shut) return this.inFlight === 0 && this.retryTimer === undefined;
    return this.inFlight < this.limits.batches;
  }

  private async send(batch: OpenBatch): Promise<void> {
    await this.attempt(batch);
    this.inFlight -= 1;
    this.pump();
  }

  private async attempt(batch: OpenBatch): Promise<void> {
    try {
      await this.entrance.send((place) => {
        batch.id ??= placeId(place);
        return this.queue.publish(encodeBatch({ id: batch.id, publishes: publishesOf(batch), place }));
      }, batch.run);
      this.confirmed(batch);
    } catch (error) {
      this.refused(batch, error);
    }
  }

  private confirmed(batch: OpenBatch): void {
    this.failures = 0;
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.counters.published += batch.items.length;
    this.queued.add(publishesOf(batch));
    for (const item of batch.items) item.publisher.settle('kept');
    if (!this.closed) this.absence.taken();
  }

  private refused(batch: OpenBatch, error: unknown): void {
    this.counters.queueFailures += 1;
    this.dropUnwaited(batch);
    if (this.closed || batch.items.length === 0) this.giveUp(batch);
    if (this.closed) return;
    if (batch.items.length > 0) {
      const place = this.ready.findIndex((other) => other.order > batch.order);
      this.ready.splice(place < 0 ? this.ready.length : place, 0, batch);
    }
    this.why = explain(error);
    this.absence.refused(error);
    // When several batches are refused together, only the first makes the next pause longer.
    if (this.retryTimer !== undefined) return;
    const pauseMs = FIRST_RETRY_MS + backoff(this.failures, FIRST_RETRY_MS, MOST_RETRY_MS);
    this.failures += 1;
    this.retryTimer = setTimeout(() => this.tryNow(), pauseMs);
  }

  private tryNow(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.pump();
    if (this.shut && this.idle) void this.probe();
  }

  /** Tries an empty batch, to learn whether the queue takes messages again. No client waits for it, so `drain` does not. */
  private async probe(): Promise<void> {
    if (this.closed || this.probing) return;
    this.probing = true;
    await this.attempt({ order: 0, run: this.entrance.current, items: [], bytes: 0 });
    this.probing = false;
    this.pump();
  }

  private giveUp(batch: OpenBatch): void {
    for (const item of batch.items) this.drop(item);
  }

  private dropUnwaited(batch: OpenBatch): void {
    const wanted = batch.items.filter((item) => item.publisher.waits);
    if (wanted.length === batch.items.length) return;
    for (const item of batch.items) if (!item.publisher.waits) this.drop(item);
    batch.items = wanted;
  }

  private drop({ publisher }: Item): void {
    if (publisher.atMostOnce) this.counters.droppedQos0 += 1;
    else this.counters.givenUp += 1;
    publisher.settle('dropped');
  }
}

function publishesOf({ items }: OpenBatch): Publish[] {
  return items.map(({ publish }) => publish);
}
