import type { Log } from '../backbone/ports/log.ts';
import { EncodingInvalid, explain } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type Batch, type DeadLetter, decodeBatch, type Publish } from '../telemetry/batch.ts';
import { IsolationLog, unitOf } from './isolation-log.ts';
import { isOutage, OutageGate } from './outage-gate.ts';
import { unreadable } from './validate.ts';

export interface PoisonIsolationParts {
  /** Opens the log `trials`, where isolated attempts are recorded. Rejects with LogUnavailable. */
  readonly open: () => Promise<Log>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Does the work of some publishes of a queue message, under a batch id of their own. */
  readonly work: (part: Batch) => Promise<void>;
  readonly setAside: (letters: readonly DeadLetter[]) => Promise<void>;
  /** Outage gates of the ports that work may have to wait for. */
  readonly portGates: readonly OutageGate[];
}

/** A unit that ended this many attempts in failure or death, with nothing else at work, is poison. */
const MOST_DEATHS = 2;

/**
 * Tries queue messages that were delivered too often. Each is tried alone: then no other message can be the cause of a
 * death.
 *
 * The whole message is tried first. When it has failed, or killed a worker, twice, its halves are tried one after the
 * other, then their halves, until a single publish is left and set aside. All other publishes are worked off. When an
 * outage begins during an attempt, the attempt is recorded as ended: a worker that is stopped while it waits has not
 * died.
 */
export class PoisonIsolation {
  private readonly parts: PoisonIsolationParts;
  private opened: Promise<{ trials: IsolationLog; outageGate: OutageGate }> | undefined;

  constructor(parts: PoisonIsolationParts) {
    this.parts = parts;
  }

  /** Resolves when every publish was worked off or set aside. The caller has nothing else at work meanwhile. */
  async tryAlone(body: Uint8Array): Promise<void> {
    const read: { batch: Batch | undefined } = { batch: undefined };
    const isPoison = await this.attemptAlone(unitOf(body, 0, 0), async () => {
      read.batch = readable(body);
    });
    const { batch } = read;
    if (isPoison || !batch) return await this.parts.setAside([unreadable(body, Date.now())]);
    this.parts.log.debug({ batch: batch.id }, 'a queue message came too often and is tried alone');
    await this.tryPart(body, batch, 0, batch.publishes.length);
  }

  private async tryPart(body: Uint8Array, batch: Batch, from: number, to: number): Promise<void> {
    // A broker sends an empty batch to learn whether the queue takes messages. It has no publish to try.
    if (from === to) return;
    const publishes = batch.publishes.slice(from, to);
    const id = publishes.length === batch.publishes.length ? batch.id : `${batch.id}#${from}-${to}`;
    const isPoison = await this.attemptAlone(unitOf(body, from, to), () =>
      this.parts.work({ ...batch, id, publishes }),
    );
    if (!isPoison) return;
    const [only] = publishes;
    if (publishes.length === 1 && only) return await this.parts.setAside([poison(only, Date.now())]);
    const middle = from + Math.ceil((to - from) / 2);
    await this.tryPart(body, batch, from, middle);
    await this.tryPart(body, batch, middle, to);
  }

  /**
   * Does `work`, at most `MOST_DEATHS` times over the lives of all workers. Resolves with true when no attempt came to
   * its end, and rejects when a port is away or the worker is stopped.
   */
  private async attemptAlone(unit: string, work: () => Promise<void>): Promise<boolean> {
    const { trials, outageGate } = await this.openedLog();
    for (;;) {
      let deaths = 0;
      await outageGate.until(async () => {
        deaths = await trials.deaths(unit);
      });
      if (deaths >= MOST_DEATHS) return true;
      await outageGate.until(() => trials.begun(unit));
      let ended: Promise<void> | undefined;
      const end = () => {
        ended ??= outageGate.until(() => trials.ended(unit));
        return ended;
      };
      // A rejection reaches the `await end()` below. An attempt that is cut off may not await it, so it is ignored
      // here.
      const recordEnd = () => void end().catch(() => {});
      const unwatch = this.parts.portGates.map((other) => other.whenAway(recordEnd));
      try {
        await work();
        await end();
        return false;
      } catch (error) {
        if (this.parts.signal.aborted || isOutage(error)) {
          await end();
          throw error;
        }
        this.parts.log.error(`part of a queue message fails alone, too: ${explain(error)}`);
      } finally {
        for (const stop of unwatch) stop();
      }
    }
  }

  private openedLog(): Promise<{ trials: IsolationLog; outageGate: OutageGate }> {
    this.opened ??= this.open();
    return this.opened;
  }

  private async open(): Promise<{ trials: IsolationLog; outageGate: OutageGate }> {
    const { open, log, signal } = this.parts;
    try {
      const opened = await open();
      return { trials: new IsolationLog(opened), outageGate: new OutageGate('log of trials', opened, log, signal) };
    } catch (error) {
      // The message goes back to the queue, and its next delivery opens the log again.
      this.opened = undefined;
      throw error;
    }
  }
}

function readable(body: Uint8Array): Batch | undefined {
  try {
    return decodeBatch(body);
  } catch (error) {
    if (!(error instanceof EncodingInvalid)) throw error;
    return undefined;
  }
}

function poison(publish: Publish, now: number): DeadLetter {
  const explanation = `working on it failed or ended the worker ${MOST_DEATHS} times while nothing else was at work`;
  return { publish, reason: 'poison', explanation, at: now };
}
