import { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import type { ClockHistory } from '../backbone/clocks/clock-history.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Consumer, Delivery, Queue } from '../backbone/ports/queue.ts';
import { type Clock, clock as machineClock } from '../core/clock.ts';
import type { Health, Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import { clockRunOf } from '../telemetry/account/batch-place.ts';
import { type Batch, encodeBatch } from '../telemetry/batch.ts';
import { microsOf } from '../telemetry/instant.ts';
import { OutageGate } from './outage-gate.ts';
import { readable } from './readable.ts';
import { WorkNotes } from './work-notes.ts';

/** After so long a message goes on although nobody has said anything of its clock, ms: the broker says so itself after ten minutes. */
const LONGEST_MS = 11 * 60_000;
/** Others wait in the queue. Nobody is ahead of them there who does not wait, too. */
const PREFETCH = 8;
/** Runs whose first message is remembered. At the limit the oldest is forgotten, and waits from now on. */
const MOST_RUNS = 1_000;

export interface UndatedWorkerOptions {
  /** Where publishes wait that are dated by a doubted clock. */
  readonly undated: Queue;
  /** Where they go on. */
  readonly queue: Queue;
  readonly live: Log;
  readonly clocks: ClockHistory;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
  /** How long a message waits at most when nobody says anything of its clock, ms. */
  readonly longestMs?: number;
  readonly notesMs?: number;
}

/**
 * Takes publishes that are dated by a doubted clock out of their queue when the doubt is over, and puts them into the queue again with the receipts
 * that they have by the clock as it was set then.
 */
export class UndatedWorker implements Part {
  readonly name = 'undated worker';
  private readonly options: UndatedWorkerOptions;
  private readonly clock: Clock;
  private readonly notes: WorkNotes;
  private readonly entrance: BatchEntrance;
  private readonly stopping = new AbortController();
  private readonly outageGates: { readonly queue: OutageGate; readonly live: OutageGate };
  private readonly since = new Map<string, number>();
  private consumer: Consumer | undefined;

  constructor(options: UndatedWorkerOptions) {
    const { undated, queue, live, log, metrics, notesMs: beatMs } = options;
    const { signal } = this.stopping;
    this.options = options;
    this.clock = options.clock ?? machineClock;
    this.notes = new WorkNotes(live, () => this.consumer?.waiting() ?? [], beatMs);
    this.entrance = new BatchEntrance({ name: 'dated', live, beatMs });
    this.outageGates = {
      queue: new OutageGate('queue', queue, log, signal),
      live: new OutageGate('live log', live, log, signal),
    };
    metrics?.gauge('loam_undated_queue_depth', 'Messages that wait until the clock is believed that dates them', () =>
      undated.depth(),
    );
  }

  async start(): Promise<void> {
    await this.notes.start();
    await this.entrance.start();
    this.consumer = await this.options.undated.consume((delivery) => this.work(delivery), { prefetch: PREFETCH });
  }

  /** What waits goes back to its queue. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.consumer?.stop();
    await Promise.all([this.notes.stop(), this.entrance.stop()]);
  }

  health(): Health[] {
    return Object.values(this.outageGates).map((gate) => gate.health());
  }

  private async work({ body }: Delivery): Promise<void> {
    const place = this.notes.begin(body);
    try {
      const batch = readable(body);
      const run = batch ? clockRunOf(batch.id) : '';
      if (batch) await this.decided(run);
      if (this.stopping.signal.aborted) throw new Error('the worker was stopped');
      if (batch) await this.goOn(batch, run);
      // What cannot be read here is for the worker on the queue: it knows what becomes of it.
      else await this.outageGates.queue.until(() => this.options.queue.publish(body));
      const append = (entry: Uint8Array) => this.outageGates.live.until(() => this.options.live.append(entry));
      if (place) await this.notes.worked(place, append);
    } catch (error) {
      if (place) this.notes.gaveBack(place);
      throw error;
    }
  }

  private async goOn({ id, publishes, origin }: Batch, run: string): Promise<void> {
    const { clocks, queue } = this.options;
    const dated = publishes.map((publish) => ({
      ...publish,
      received: clocks.corrected(run, publish.received).received,
    }));
    // The first receipt tells this message from others that were left of the same one. A message that has waited is not doubted again.
    const first = microsOf(publishes[0]?.received ?? 0);
    const batch = { id: `${clocks.corrected(run, 0).run}:dated:${first}:${id}`, publishes: dated };
    await this.entrance.send((place) => {
      const message = encodeBatch({ ...batch, place, ...(origin === undefined ? {} : { origin }) });
      return this.outageGates.queue.until(() => queue.publish(message));
    });
  }

  /** Resolves when a message by this run's clock needs to wait no more, or the worker is stopped. */
  private async decided(run: string): Promise<void> {
    const { clocks, longestMs = LONGEST_MS } = this.options;
    const end = this.seen(run) + longestMs;
    while (!this.stopping.signal.aborted && !(clocks.knows(run) && clocks.isDecided(run))) {
      const left = end - this.clock.passed();
      if (left <= 0) return;
      await this.changed(left);
    }
  }

  private seen(run: string): number {
    const since = this.since.get(run) ?? this.clock.passed();
    this.since.set(run, since);
    const [oldest] = this.since.keys();
    if (this.since.size > MOST_RUNS && oldest !== undefined) this.since.delete(oldest);
    return since;
  }

  /** Resolves when something new is known of clocks, after `ms`, or when the worker is stopped. */
  private changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.stopping;
      const done = () => {
        clearTimeout(timer);
        unwatch();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      const unwatch = this.options.clocks.watch(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
