import type { DeadLetters } from '../backbone/dead-letters/dead-letters.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Delivery } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import { clock } from '../core/clock.ts';
import { explain, type StoreRejected } from '../core/errors.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { BatchPlace } from '../telemetry/account/batch-place.ts';
import { changedBy, type DeadLetter, encodeLive, isNewer } from '../telemetry/batch.ts';
import type { Reading } from '../telemetry/reading.ts';
import type { ClockVotes } from './clock-votes.ts';
import type { WorkerCounters } from './counters.ts';
import type { DecodedBatch, Decoder } from './decoding/decoder.ts';
import { Fold } from './fold.ts';
import { LeftApart, type SideQueue } from './left-apart.ts';
import { NewerBatches } from './newer-batches.ts';
import { OftenDelivered } from './often-delivered.ts';
import { OutageGate } from './outage-gate.ts';
import { rejectedByStore } from './rejected-readings.ts';
import type { WorkBudget, WorkSlot } from './work-budget.ts';
import type { WorkNotes } from './work-notes.ts';

export interface PipelineParts {
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  /** Where publishes go that the decoder leaves apart; a decoder that leaves none apart needs no slow queue. */
  readonly slow?: SideQueue | undefined;
  /** Where publishes wait that are dated by a doubted clock. Without it the decoder takes every clock for right. */
  readonly undated?: SideQueue | undefined;
  /** Writes dead letters to `dead`, within quotas. */
  readonly letters: DeadLetters;
  /** Opens the log `trials`, where isolated attempts are recorded, when it is needed for the first time. */
  readonly openTrials: () => Promise<Log>;
  readonly log: Logger;
  readonly counters: WorkerCounters;
  readonly decoder: Decoder;
  readonly holding: WorkBudget;
  /** Hears what sensors say of the clock. */
  readonly votes?: ClockVotes | undefined;
  /** Says what was worked off. */
  readonly notes: WorkNotes;
  /** Called after every write, every append to the live log and every message that ended. */
  readonly progressed: () => void;
}

/** A message that was delivered more often than this is watched, as it may be what kills workers. */
const MAX_SHARED_DELIVERIES = 3;

/**
 * The way of a queue message through a worker:
 *
 * 1. It waits for room (`WorkBudget`), and is decoded in a thread (`Decoder`). Every publish in it becomes readings, or a dead letter with the
 *    reason, or is left to the slow queue, or to those that wait until the
 *    clock is right.
 * 2. Readings go to the live log at once, and to the store in one write with those of other messages (`Fold`). Dead letters
 *    go to their log, and what is left apart to the slow queue. While one of them is away, the message stays at work and waits (`OutageGate`).
 * 3. When all have it on disk, and only then, the message is worked off. When the live log says so (`WorkNotes`), it is done.
 *
 * A message that was delivered too often may have killed workers: it is tried alone, part by part (`PoisonIsolation`). One of a newer
 * version goes back to the queue.
 */
export class Pipeline {
  private readonly parts: PipelineParts;
  private readonly stopping = new AbortController();
  private readonly holding: WorkBudget;
  private readonly fold: Fold;
  private readonly importFold: Fold;
  private readonly oftenDelivered: OftenDelivered;
  private readonly outageGates: Record<'store' | 'live' | 'dead', OutageGate> & Record<string, OutageGate>;
  private readonly apart: LeftApart | undefined;
  private readonly undated: LeftApart | undefined;
  private readonly inHand = new Set<{ readonly oldest: number }>();
  private readonly newer: NewerBatches;
  private readonly giveUps = new Set<(error: Error) => void>();

  constructor(parts: PipelineParts) {
    const { store, live, dead, slow, undated, log, counters, openTrials, holding } = parts;
    const { signal } = this.stopping;
    this.parts = parts;
    this.holding = holding;
    this.newer = new NewerBatches(log, signal);
    const ways = { log, signal, setAside: (letters: readonly DeadLetter[]) => this.setAside(letters) };
    this.apart = slow && new LeftApart(slow, ways);
    this.undated = undated && new LeftApart(undated, ways);
    this.outageGates = {
      store: new OutageGate('store', store, log, signal),
      live: new OutageGate('live log', live, log, signal),
      dead: new OutageGate('dead-letter log', dead, log, signal),
      ...(this.apart && { slow: this.apart.gate }),
      ...(this.undated && { undated: this.undated.gate }),
    };
    const foldParts = {
      store,
      outageGate: this.outageGates.store,
      signal,
      setAside: (readings: readonly Reading[], refusal: StoreRejected) =>
        this.setAside(rejectedByStore(readings, refusal, clock.now())),
      wrote: (readings: number, seconds: number) => {
        counters.wrote(readings, seconds);
        parts.progressed();
      },
    };
    this.fold = new Fold(foldParts);
    // The live log does not have the readings of an import: nobody could write them again after a crash of the store.
    this.importFold = new Fold({ ...foldParts, store: { write: (all) => store.write(all, { checkpointed: true }) } });
    this.oftenDelivered = new OftenDelivered({
      openTrials,
      log,
      signal,
      gates: Object.values(this.outageGates),
      workOn: async (body, part) => {
        for await (const decoded of parts.decoder.decode(body, part)) await this.finish(decoded);
      },
      setAside: (letter) => this.setAside([letter]),
    });
  }

  /** How many messages are at work. */
  get holds(): number {
    return this.holding.size;
  }

  get heldReadings(): number {
    return this.holding.held;
  }

  /** Whether something that messages go to is known to be away or to refuse some, or the thread that decodes is not up yet. */
  get waits(): boolean {
    const isRefused = this.fold.doubted !== undefined || this.importFold.doubted !== undefined;
    return isRefused || this.parts.decoder.isStarting || Object.values(this.outageGates).some((gate) => gate.isAway);
  }

  /** When the oldest publish at work was received, Unix ms; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const held of this.inHand) oldest = Math.min(oldest ?? held.oldest, held.oldest);
    return oldest;
  }

  health(): Health[] {
    const gates = Object.values(this.outageGates).map((gate) => gate.health());
    const { trouble } = this.parts.decoder;
    if (trouble !== undefined) gates.push({ name: 'decoding', ok: false, why: `no thread can be started: ${trouble}` });
    for (const { doubted } of [this.fold, this.importFold]) if (doubted) gates.push(refusedHealth(doubted));
    const newer = this.newer.health();
    return newer ? [...gates, newer] : gates;
  }

  /**
   * Does the work of one message. The promise is the acknowledgement: when it rejects, the message goes back to the
   * queue.
   */
  work(delivery: Delivery): Promise<void> {
    const { notes, progressed } = this.parts;
    const place = notes.begin(delivery.body);
    return new Promise((resolve, reject) => {
      const giveBack = (error: Error) => {
        if (place) notes.gaveBack(place);
        reject(error);
      };
      this.giveUps.add(giveBack);
      const over = () => {
        this.giveUps.delete(giveBack);
        progressed();
      };
      this.workOff(delivery, place).then(resolve, giveBack).finally(over);
    });
  }

  /** Gives up every message at work, also one that waits for an outage to end or is stuck. All go back to the queue. */
  giveUp(why: string): void {
    this.stopping.abort();
    this.holding.leaveGroup();
    void this.parts.decoder.close();
    for (const reject of this.giveUps) reject(new Error(why));
    this.giveUps.clear();
  }

  private async workOff(delivery: Delivery, place: BatchPlace | undefined): Promise<void> {
    await this.process(delivery);
    if (place) await this.parts.notes.worked(place, this.append);
  }

  private async process(delivery: Delivery): Promise<void> {
    const { counters } = this.parts;
    const { body, attempt } = delivery;
    if (isNewer(body)) {
      counters.newer();
      return await this.newer.giveBack();
    }
    const inCompany = () => this.atWork(delivery, false, (place) => this.wholeMessage(delivery, place));
    if (attempt <= MAX_SHARED_DELIVERIES) return await inCompany();
    await this.oftenDelivered.process(body, {
      inCompany,
      alone: (work) => this.atWork(delivery, true, work),
    });
  }

  /** Does `work` for a message when it is its turn. */
  private async atWork(
    { body, attempt }: Delivery,
    alone: boolean,
    work: (place: WorkSlot) => Promise<void>,
  ): Promise<void> {
    const { counters, log } = this.parts;
    const place = await this.holding.enter(body.length, alone);
    try {
      await work(place);
      counters.message();
    } catch (error) {
      if (!this.stopping.signal.aborted) {
        log.warn({ attempt }, `a queue message failed and will be tried again: ${explain(error)}`);
      }
      throw error;
    } finally {
      place.leave();
    }
  }

  private async wholeMessage({ body, attempt }: Delivery, place: WorkSlot): Promise<void> {
    const { counters, decoder, slow } = this.parts;
    // On the slow queue a message may wait long for one publish: there only the prefetch is the limit.
    if (!slow) place.counted(0);
    for await (const decoded of decoder.decode(body)) {
      place.counted(decoded.readings.length);
      if (attempt > 1) counters.again(decoded.publishes);
      await this.finish(decoded);
    }
  }

  /** Resolves when everything that became of a message, or of a part of one, is on disk. */
  private async finish(decoded: DecodedBatch): Promise<void> {
    const { readings, dead, apart, undated, publishes, oldest = clock.now(), skipped } = decoded;
    const { counters, votes } = this.parts;
    votes?.heard(readings, dead);
    counters.skipped(skipped);
    const held = { oldest };
    this.inHand.add(held);
    try {
      await Promise.all([
        this.storeAndAnnounce(decoded, oldest),
        this.setAside(dead),
        leave(apart, this.apart),
        leave(undated, this.undated),
      ]);
      counters.done(publishes, readings, oldest);
    } finally {
      this.inHand.delete(held);
    }
  }

  /** An import is no news. Its readings are not announced, only the ranges that it changed, once the store has them. */
  private async storeAndAnnounce({ id, origin, readings, live }: DecodedBatch, received: number): Promise<void> {
    if (readings.length === 0) return;
    if (origin !== 'import') {
      const announced = this.parts.store.announcing?.();
      try {
        await Promise.all([this.announce(live, received), this.fold.write(readings)]);
      } finally {
        announced?.();
      }
    } else {
      await this.importFold.write(readings);
      await this.announce(encodeLive({ id, readings: [], changed: changedBy(readings) }), received);
    }
  }

  private async announce(entry: Uint8Array, received: number): Promise<void> {
    await this.parts.notes.announce(entry, this.append);
    this.parts.counters.announced(received);
    this.parts.progressed();
  }

  private readonly append = (entry: Uint8Array): Promise<void> =>
    this.outageGates.live.until(() => this.parts.live.append(entry));

  private async setAside(letters: readonly DeadLetter[]): Promise<void> {
    const { letters: dead, counters } = this.parts;
    const kept = letters.flatMap((letter) => dead.admit(letter) ?? []);
    await Promise.all(kept.map((letter) => this.outageGates.dead.until(() => dead.append(letter))));
    counters.setAside(letters);
  }
}

async function leave(messages: readonly Uint8Array[], to: LeftApart | undefined): Promise<void> {
  if (messages.length === 0) return;
  if (!to) throw new Error('publishes were left to another queue, and there is none');
  await to.leave(messages);
}

function refusedHealth({ readings, why }: { readings: number; why: string }): Health {
  const what = `${readings} readings are refused without a reason and tried again, while others are stored`;
  return { name: 'refused readings', ok: false, optional: true, why: `${what}: ${why}` };
}
