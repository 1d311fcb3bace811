import type { Log } from '../backbone/ports/log.ts';
import { EncodingInvalid, explain } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type Batch, type DeadLetter, decodeBatch, type Publish } from '../telemetry/batch.ts';
import { IsolationLog, unitOf } from './isolation-log.ts';
import { isOutage, OutageGate } from './outage-gate.ts';
import { unreadable } from './validate.ts';

export interface PoisonIsolationParts {
  /** Opens the log of trials. Rejects with LogUnavailable. */
  readonly open: () => Promise<Log>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Does the work of some publishes of a queue message, under an id of their own. */
  readonly work: (part: Batch) => Promise<void>;
  readonly setAside: (letters: readonly DeadLetter[]) => Promise<void>;
  /** Whom work may have to wait for. */
  readonly others: readonly OutageGate[];
}

/** A unit that took so many workers with it, with nothing else in hand, is guilty. */
const MOST_DEATHS = 2;

/**
 * Tries queue messages that came too often: alone, because then a death can only be theirs.
 *
 * The whole message first. When it has failed, or killed a worker, twice while it was alone, its halves are tried one after the other, and
 * theirs, until a single publish stands alone and is set aside; everything else of the message has been worked off by then.
 * An outage that begins during a trial ends it without a verdict: a worker that is stopped while it waits must not count.
 */
export class PoisonIsolation {
  private readonly parts: PoisonIsolationParts;
  private opened: Promise<{ trials: IsolationLog; outageGate: OutageGate }> | undefined;

  constructor(parts: PoisonIsolationParts) {
    this.parts = parts;
  }

  /** Resolves when every publish of the message was worked off or set aside. Nothing else may be at work meanwhile. */
  async tryAlone(body: Uint8Array): Promise<void> {
    const read: { batch: Batch | undefined } = { batch: undefined };
    const isGuilty = await this.onTrial(unitOf(body, 0, 0), async () => {
      read.batch = readable(body);
    });
    const { batch } = read;
    if (isGuilty || !batch) return await this.parts.setAside([unreadable(body, Date.now())]);
    this.parts.log.debug({ batch: batch.id }, 'a queue message came too often and is tried alone');
    await this.tryPart(body, batch, 0, batch.publishes.length);
  }

  private async tryPart(body: Uint8Array, batch: Batch, from: number, to: number): Promise<void> {
    // A broker asks with an empty batch whether the queue takes messages: there is nothing in it to be tried.
    if (from === to) return;
    const publishes = batch.publishes.slice(from, to);
    const id = publishes.length === batch.publishes.length ? batch.id : `${batch.id}#${from}-${to}`;
    const isGuilty = await this.onTrial(unitOf(body, from, to), () => this.parts.work({ ...batch, id, publishes }));
    if (!isGuilty) return;
    const [only] = publishes;
    if (publishes.length === 1 && only) return await this.parts.setAside([poison(only, Date.now())]);
    const middle = from + Math.ceil((to - from) / 2);
    await this.tryPart(body, batch, from, middle);
    await this.tryPart(body, batch, middle, to);
  }

  /** Does `work`, up to `MOST_DEATHS` times over the lives of all workers. Resolves to whether it never came to its end. */
  private async onTrial(unit: string, work: () => Promise<void>): Promise<boolean> {
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
      // Whoever awaits it below hears of a rejection; nobody may, when the trial is cut off.
      const acquit = () => void end().catch(() => {});
      const unwatch = this.parts.others.map((other) => other.whenAway(acquit));
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
      // The message goes back to the queue, and the next delivery opens it again.
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
