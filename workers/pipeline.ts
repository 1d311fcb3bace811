import type { DeadLetters } from '../backbone/dead-letters/dead-letters.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Delivery } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import { EncodingInvalid, EncodingNewer, explain } from '../core/errors.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/timing.ts';
import { isLate } from '../telemetry/backfill.ts';
import {
  type Batch,
  changedBy,
  type DeadLetter,
  decodeBatch,
  encodeLive,
  isNewer,
  type LiveEntry,
} from '../telemetry/batch.ts';
import type { Reading } from '../telemetry/reading.ts';
import type { WorkerCounters } from './counters.ts';
import { Fold } from './fold.ts';
import { OutageGate } from './outage-gate.ts';
import { PoisonIsolation } from './poison-isolation.ts';
import { rejectedByStore, unreadable, type Validate } from './validate.ts';
import { WorkBudget, type WorkLimits } from './work-budget.ts';

export interface PipelineParts {
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  /** Writes dead letters to `dead`, within quotas. */
  readonly letters: DeadLetters;
  /** Opens the log `trials`, where isolated attempts are recorded, when it is needed for the first time. */
  readonly openTrials: () => Promise<Log>;
  readonly log: Logger;
  readonly counters: WorkerCounters;
  readonly validate: Validate;
  readonly holding: WorkLimits;
  /** Called after every write, every append to the live log and every message that ended. */
  readonly progressed: () => void;
}

/** A message that was delivered more often than this is tried alone. */
const MAX_SHARED_DELIVERIES = 3;

/** How long a batch of a newer version is kept before it goes back to the queue: so many at once for long, others only briefly. */
const NEWER_PAUSE_MS = 5_000;
const NEWER_SHORT_PAUSE_MS = 200;
const MOST_NEWER_HELD = 32;
/** So long after the last one it is said that the queue has such batches. */
const NEWER_KNOWN_MS = 30_000;
const SAY_NEWER_AGAIN_MS = 60_000;

/**
 * What a worker does with queue messages:
 *
 * 1. A message waits for room and is unpacked. Every publish in it becomes readings, or a dead letter with the reason.
 * 2. Readings go to the live log at once, and to the store in one write with those of other messages. Dead letters go
 *    to their log. While one of the three is away, the message stays at work and waits.
 * 3. When all three have it on disk, and only then, the message is done.
 *
 * A message that was delivered too often may have killed workers: it is tried alone, part by part (`PoisonIsolation`).
 */
export class Pipeline {
  private readonly parts: PipelineParts;
  private readonly stopping = new AbortController();
  private readonly holding: WorkBudget;
  private readonly fold: Fold;
  private readonly isolation: PoisonIsolation;
  private readonly outageGates: { store: OutageGate; live: OutageGate; dead: OutageGate };
  private readonly inHand = new Set<{ readonly oldest: number }>();
  private saidNewerAt = Number.NEGATIVE_INFINITY;
  private sawNewerAt = Number.NEGATIVE_INFINITY;
  private newerHeld = 0;
  private readonly giveUps = new Set<(error: Error) => void>();

  constructor(parts: PipelineParts) {
    const { store, live, dead, log, counters } = parts;
    const { signal } = this.stopping;
    this.parts = parts;
    this.holding = new WorkBudget(parts.holding);
    this.outageGates = {
      store: new OutageGate('store', store, log, signal),
      live: new OutageGate('live log', live, log, signal),
      dead: new OutageGate('dead-letter log', dead, log, signal),
    };
    this.fold = new Fold({
      store,
      outageGate: this.outageGates.store,
      setAside: (reading, explanation) => this.setAside([rejectedByStore(reading, explanation, Date.now())]),
      wrote: (readings, seconds) => {
        counters.wrote(readings, seconds);
        parts.progressed();
      },
    });
    this.isolation = new PoisonIsolation({
      open: parts.openTrials,
      log,
      signal,
      work: (part) => this.processBatch(part, () => {}),
      setAside: (letters) => this.setAside(letters),
      portGates: Object.values(this.outageGates),
    });
  }

  /** How many messages are at work. */
  get holds(): number {
    return this.holding.size;
  }

  get heldReadings(): number {
    return this.holding.held;
  }

  /** Whether the store, the live log or the dead-letter log is known to be away. */
  get waits(): boolean {
    return Object.values(this.outageGates).some((gate) => gate.isAway);
  }

  /** When the oldest publish at work was received, Unix ms; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const held of this.inHand) oldest = Math.min(oldest ?? held.oldest, held.oldest);
    return oldest;
  }

  health(): Health[] {
    const gates = Object.values(this.outageGates).map((gate) => gate.health());
    if (performance.now() - this.sawNewerAt > NEWER_KNOWN_MS) return gates;
    const why = 'it has batches of a newer version of Loam, which wait for a newer worker';
    // The worker does all other work.
    return [...gates, { name: 'queue messages', ok: false, optional: true, why }];
  }

  /**
   * Does the work of one message. The promise is the acknowledgement: when it rejects, the message goes back to the
   * queue.
   */
  work(delivery: Delivery): Promise<void> {
    return new Promise((resolve, reject) => {
      this.giveUps.add(reject);
      const over = () => {
        this.giveUps.delete(reject);
        this.parts.progressed();
      };
      this.process(delivery).then(resolve, reject).finally(over);
    });
  }

  /** Gives up every message at work, also one that waits for an outage to end or is stuck. All go back to the queue. */
  giveUp(why: string): void {
    this.stopping.abort();
    for (const reject of this.giveUps) reject(new Error(why));
    this.giveUps.clear();
  }

  private async process(delivery: Delivery): Promise<void> {
    const { counters, log } = this.parts;
    if (isNewer(delivery.body)) return await this.giveBackNewer();
    const alone = delivery.attempt > MAX_SHARED_DELIVERIES;
    const place = await this.holding.enter(delivery.body.length, alone);
    try {
      if (alone) return await this.isolation.tryAlone(delivery.body);
      const batch = this.read(delivery.body);
      if (!batch) return await this.setAside([unreadable(delivery.body, Date.now())]);
      if (delivery.attempt > 1) counters.again(batch.publishes);
      await this.processBatch(batch, place.counted);
    } catch (error) {
      if (!this.stopping.signal.aborted) {
        log.warn({ attempt: delivery.attempt }, `a queue message failed and will be tried again: ${explain(error)}`);
      }
      throw error;
    } finally {
      place.leave();
    }
  }

  /**
   * A batch that a newer version wrote goes back to the queue, for a worker of that version: never to the dead letters. Other messages
   * go on meanwhile. The pause keeps this one from going round and round; it is short for most of them, so that many do not take all places
   * of a worker.
   */
  private async giveBackNewer(): Promise<never> {
    const { counters, log } = this.parts;
    counters.newer();
    if (performance.now() - this.saidNewerAt > SAY_NEWER_AGAIN_MS) {
      this.saidNewerAt = performance.now();
      log.error(
        { event: 'newer_batch' },
        'the queue has batches of a newer version of Loam: they wait for a newer worker',
      );
    }
    this.sawNewerAt = performance.now();
    this.newerHeld += 1;
    const isOneOfMany = this.newerHeld > MOST_NEWER_HELD;
    await pause(isOneOfMany ? NEWER_SHORT_PAUSE_MS : NEWER_PAUSE_MS, this.stopping.signal);
    this.newerHeld -= 1;
    throw new EncodingNewer('the batch is of a newer version of Loam');
  }

  private read(body: Uint8Array): Batch | undefined {
    try {
      return decodeBatch(body);
    } catch (error) {
      if (!(error instanceof EncodingInvalid)) throw error;
      this.parts.log.error(`a queue message cannot be read and is set aside: ${explain(error)}`);
      return undefined;
    }
  }

  private async processBatch(batch: Batch, counted: (readings: number) => void): Promise<void> {
    const { publishes, origin } = batch;
    const now = Date.now();
    const { readings: found, dead, skipped } = await this.parts.validate(batch, now);
    const readings = origin === 'replay' ? asBackfill(found, now) : found;
    counted(readings.length);
    this.parts.counters.skipped(skipped);
    // A replayed publish was received long ago, but has not waited since: its receipt must not count as its age.
    const begun = origin === 'replay' ? [] : publishes;
    const held = { oldest: begun.reduce((oldest, { received }) => Math.min(oldest, received), now) };
    this.inHand.add(held);
    try {
      await Promise.all([this.storeAndAnnounce(batch, readings, held.oldest), this.setAside(dead)]);
      this.parts.counters.done(publishes, readings, held.oldest);
    } finally {
      this.inHand.delete(held);
    }
  }

  /** An import is no news. Its readings are not announced, only the ranges that it changed, once the store has them. */
  private async storeAndAnnounce({ id, origin }: Batch, readings: readonly Reading[], received: number): Promise<void> {
    if (origin !== 'import') {
      await Promise.all([this.announce({ id, readings }, received), this.fold.write(readings)]);
    } else {
      await this.fold.write(readings);
      await this.announce({ id, readings: [], changed: changedBy(readings) }, received);
    }
  }

  private async announce(live: LiveEntry, received: number): Promise<void> {
    if (live.readings.length === 0 && !live.changed?.length) return;
    const entry = encodeLive(live);
    await this.outageGates.live.until(() => this.parts.live.append(entry));
    this.parts.counters.announced(received);
    this.parts.progressed();
  }

  private async setAside(letters: readonly DeadLetter[]): Promise<void> {
    const { letters: dead, counters } = this.parts;
    const kept = letters.flatMap((letter) => dead.admit(letter) ?? []);
    await Promise.all(kept.map((letter) => this.outageGates.dead.until(() => dead.append(letter))));
    counters.setAside(letters);
  }
}

/**
 * Marks the readings of a replay that are old by now as backfill. One without a time of its own is dated by its
 * receipt, so comparing it with its receipt would never show that it is old.
 */
function asBackfill(readings: readonly Reading[], now: number): readonly Reading[] {
  return readings.map((reading) =>
    isLate({ ts: reading.ts, received: now }) ? { ...reading, backfill: true } : reading,
  );
}
