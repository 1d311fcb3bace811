import type { Counter, Histogram } from 'prom-client';
import type { Queue } from '../backbone/ports/queue.ts';
import { clock } from '../core/clock.ts';
import { FarmCounter, LabelValues, type Metrics } from '../core/metrics.ts';
import type { DeadLetter, Publish } from '../telemetry/batch.ts';
import type { Reading } from '../telemetry/reading.ts';

/** Values that are read at each request for `/metrics`. */
export interface WorkerGauges {
  /** When the oldest publish at work was received, Unix ms. */
  readonly oldest: () => number | undefined;
  /** Readings at work. */
  readonly held: () => number;
}

const FOLD_SIZES = [1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/** What a worker counts, for `/metrics`. */
export class WorkerCounters {
  private readonly messages: Counter;
  private readonly restarts: Counter;
  private readonly newerBatches: Counter;
  private readonly publishes: FarmCounter;
  private readonly duplicates: FarmCounter;
  private readonly readings: FarmCounter;
  private readonly dead: Counter<'farm' | 'reason'>;
  private readonly passedOver: Counter;
  private readonly storing: Histogram;
  private readonly folded: Histogram;
  private readonly toStore: Histogram;
  private readonly toLog: Histogram;
  private readonly apart: FarmCounter;
  private readonly undated: FarmCounter;
  private readonly threads: Counter;
  private readonly farms = new LabelValues();
  private readonly reasons = new LabelValues();

  /** `queue` is the worker's. The gauges of a worker on the slow queue have names of their own; the counters of both are the same. */
  constructor(metrics: Metrics, queue: Queue, { oldest, held }: WorkerGauges, isSlow: boolean) {
    this.messages = metrics.counter('loam_worker_messages_total', 'Queue messages that were worked off');
    this.restarts = metrics.counter('loam_worker_restarts_total', 'Times that a worker stood still and started over');
    this.newerBatches = metrics.counter(
      'loam_worker_newer_batches_total',
      'Times that a batch of a newer version of Loam went back to the queue',
    );
    this.publishes = new FarmCounter(metrics, 'loam_publishes_done_total', 'Publishes that were worked off');
    this.duplicates = new FarmCounter(
      metrics,
      'loam_publishes_redelivered_total',
      'Publishes that came again: their readings may have been stored before, as the same points',
    );
    this.readings = new FarmCounter(metrics, 'loam_readings_written_total', 'Readings that the store has');
    this.dead = metrics.counter('loam_set_aside_total', 'Dead letters written by workers', ['farm', 'reason']);
    this.passedOver = metrics.counter(
      'loam_values_skipped_total',
      'Texts, nulls and times that others sent among their values, and what was said before of the same names',
    );
    this.storing = metrics.histogram('loam_store_write_seconds', 'How long the store took for a write');
    this.folded = metrics.histogram('loam_store_write_readings', 'Readings in a write', { buckets: FOLD_SIZES });
    this.toStore = metrics.histogram('loam_received_to_stored_seconds', 'From the broker until a message was done');
    this.toLog = metrics.histogram('loam_received_to_announced_seconds', 'From the broker until it is in the live log');
    this.apart = new FarmCounter(
      metrics,
      'loam_publishes_left_apart_total',
      'Publishes handed to the slow queue: they need a codec, or more time',
    );
    this.undated = new FarmCounter(
      metrics,
      'loam_publishes_undated_total',
      'Publishes that waited, because nobody believed the clock that dates them',
    );
    this.threads = metrics.counter(
      'loam_decode_threads_lost_total',
      'Decode threads that were ended, or ended by themselves',
    );
    const age = () => {
      const received = oldest();
      return received === undefined ? 0 : secondsSince(received);
    };
    if (isSlow) {
      metrics.gauge('loam_slow_queue_depth', 'Messages that wait in the slow queue or are being worked on', () =>
        queue.depth(),
      );
      metrics.gauge('loam_slow_oldest_unstored_seconds', 'Age of the oldest publish in hand that was left apart', age);
    } else {
      metrics.gauge('loam_queue_depth', 'Messages that wait in the queue or are being worked on', () => queue.depth());
      metrics.gauge('loam_oldest_unstored_seconds', 'Age of the oldest publish in hand', age);
      metrics.gauge('loam_worker_held_readings', 'Readings in hand', held);
    }
  }

  /** These publishes came for a second time or more. */
  again(publishes: ReadonlyMap<string, number>): void {
    this.duplicates.addCounts(publishes);
  }

  /** A queue message was worked off. */
  message(): void {
    this.messages.inc();
  }

  leftUndated(publishes: readonly Publish[]): void {
    this.undated.add(publishes);
  }

  leftApart(publishes: readonly Publish[]): void {
    this.apart.add(publishes);
  }

  lostThread(): void {
    this.threads.inc();
  }

  /** So many publishes of each farm are done, their readings are in the store. `received` is when the oldest was received, Unix ms. */
  done(publishes: ReadonlyMap<string, number>, readings: readonly Reading[], received: number): void {
    this.publishes.addCounts(publishes);
    this.readings.add(readings);
    this.toStore.observe(secondsSince(received));
  }

  announced(received: number): void {
    this.toLog.observe(secondsSince(received));
  }

  wrote(readings: number, seconds: number): void {
    this.storing.observe(seconds);
    this.folded.observe(readings);
  }

  setAside(letters: readonly DeadLetter[]): void {
    for (const { publish, reason } of letters) {
      this.dead.inc({ farm: this.farms.of(publish.farm), reason: this.reasons.of(reason) });
    }
  }

  skipped(values: number): void {
    this.passedOver.inc(values);
  }

  newer(): void {
    this.newerBatches.inc();
  }

  startedOver(): void {
    this.restarts.inc();
  }
}

/** Seconds since `ms`, never negative: the time may come from another machine's clock. */
function secondsSince(ms: number): number {
  return Math.max(0, clock.now() - ms) / 1000;
}
