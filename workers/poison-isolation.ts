import type { Log } from '../backbone/ports/log.ts';
import { clock } from '../core/clock.ts';
import { explain } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { DeadLetter, Publish } from '../telemetry/batch.ts';
import type { PublishRange } from './decoding/decoder.ts';
import { IsolationLog, unitOf } from './isolation-log.ts';
import { OutageGate } from './outage-gate.ts';
import { readable } from './readable.ts';
import { unreadable } from './validate.ts';

/** A unit that ended this many attempts in failure or death, with nothing else at work, is poison. */
const MOST_DEATHS = 2;

/** What is to be done next with a message that is tried alone. */
export type Verdict =
  /** Work on these publishes now. That they are tried is on disk. */
  | { readonly is: 'try'; readonly part: PublishRange }
  /** Nobody can work on it: set it aside. */
  | { readonly is: 'poison'; readonly letter: DeadLetter };

/** A part of a message that waits to be tried; `reading` is the unpacking of the message. */
type IsolationUnit = PublishRange | 'reading';

export interface PoisonIsolationParts {
  /** Opens the log `trials`, where isolated attempts are recorded. Rejects with LogUnavailable. */
  readonly open: () => Promise<Log>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Says what to do with queue messages that were delivered too often.
 *
 * Most came back because connections broke: all that a worker held at that moment. So a message is worked on in company once more, and that is recorded
 * (`inCompany`). Only one that was at work when a worker died, or that failed, is tried alone (`of`): then no other message can be the cause of a death.
 *
 * Alone the whole message is tried first. When it has failed, or killed a worker, twice, its halves are tried one after the
 * other, then their halves, until a single publish is left and set aside. All other publishes are worked off.
 */
export class PoisonIsolation {
  private readonly parts: PoisonIsolationParts;
  private opened: Promise<{ trials: IsolationLog; outageGate: OutageGate }> | undefined;

  constructor(parts: PoisonIsolationParts) {
    this.parts = parts;
  }

  /**
   * Begins to watch a message that is worked on beside others. Resolves when that is on disk; with undefined when an earlier attempt like this one had no
   * end, and the message has to be tried alone. Call `ended` when it was worked off, or an outage began, or the worker is stopped; not when it failed.
   */
  async inCompany(body: Uint8Array): Promise<WatchedAttempt | undefined> {
    this.opened ??= this.open();
    const { trials, outageGate } = await this.opened;
    return await beginAttempt(`${unitOf(body, 0, 0)}+`, 1, trials, outageGate);
  }

  /** Begins with a message. The caller has nothing else at work until `next` has said that all is done. */
  async of(body: Uint8Array): Promise<Isolated> {
    this.opened ??= this.open();
    const { trials, outageGate } = await this.opened;
    return new Isolated(body, trials, outageGate, this.parts.log);
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

/** One message that is tried alone. After each verdict to try, call `done`, `failed` or `interrupted`. */
export class Isolated {
  private readonly body: Uint8Array;
  private readonly trials: IsolationLog;
  private readonly outageGate: OutageGate;
  private readonly log: Logger;
  private publishes: readonly Publish[] = [];
  private readonly waiting: IsolationUnit[] = ['reading'];
  private tried: WatchedAttempt | undefined;

  constructor(body: Uint8Array, trials: IsolationLog, outageGate: OutageGate, log: Logger) {
    this.body = body;
    this.trials = trials;
    this.outageGate = outageGate;
    this.log = log;
  }

  /** The next verdict; undefined when every publish was worked off or set aside. Rejects when the worker is stopped while the log is away. */
  async next(): Promise<Verdict | undefined> {
    for (let unit = this.waiting.shift(); unit !== undefined; unit = this.waiting.shift()) {
      if (unit === 'reading') {
        const letter = await this.read();
        if (letter) return { is: 'poison', letter };
        continue;
      }
      const part = unit;
      // A broker sends an empty batch to learn whether the queue takes messages. It has no publish to try.
      if (part.from === part.to) continue;
      if (await this.mayTry(unitOf(this.body, part.from, part.to))) {
        this.waiting.unshift(part);
        return { is: 'try', part };
      }
      const only = this.publishes[part.from];
      if (only && part.to - part.from === 1) return { is: 'poison', letter: poison(only, clock.now()) };
      const middle = part.from + Math.ceil((part.to - part.from) / 2);
      this.waiting.unshift({ from: part.from, to: middle }, { from: middle, to: part.to });
    }
    return undefined;
  }

  /** The part was worked off. */
  async done(): Promise<void> {
    this.waiting.shift();
    await this.interrupted();
  }

  /** The part failed. It stays as it is in the log, like one that killed a worker, and is tried again or divided. */
  failed(error: unknown): void {
    this.log.error(`part of a queue message fails alone, too: ${explain(error)}`);
    this.tried = undefined;
  }

  /**
   * The attempt ends without a verdict, because an outage began or the worker is stopped: a worker that is stopped while it waits has not
   * died. Calling it again has no further effect.
   */
  async interrupted(): Promise<void> {
    await this.tried?.ended();
  }

  /** Unpacks the message, as an attempt of its own. Resolves with its dead letter when it cannot be. */
  private async read(): Promise<DeadLetter | undefined> {
    if (!(await this.mayTry(unitOf(this.body, 0, 0)))) return unreadable(this.body, clock.now());
    const batch = readable(this.body);
    await this.interrupted();
    if (!batch) return unreadable(this.body, clock.now());
    this.publishes = batch.publishes;
    this.waiting.push({ from: 0, to: batch.publishes.length });
    return undefined;
  }

  /** Resolves with true when the begin of the attempt is on disk; with false when earlier ones, over the lives of all workers, were enough. */
  private async mayTry(unit: string): Promise<boolean> {
    const tried = await beginAttempt(unit, MOST_DEATHS, this.trials, this.outageGate);
    if (tried) this.tried = tried;
    return tried !== undefined;
  }
}

/** An attempt whose begin is on disk. */
export interface WatchedAttempt {
  /** Resolves when it is on disk that the attempt came to an end that kills nobody. Calling it again has no further effect. */
  ended(): Promise<void>;
}

/** Resolves with undefined when `most` attempts at the unit had no end. Rejects when the worker is stopped while the log is away. */
async function beginAttempt(
  unit: string,
  most: number,
  trials: IsolationLog,
  outageGate: OutageGate,
): Promise<WatchedAttempt | undefined> {
  let deaths = 0;
  await outageGate.until(async () => {
    deaths = await trials.deaths(unit);
  });
  if (deaths >= most) return undefined;
  await outageGate.until(() => trials.begun(unit));
  let ended: Promise<void> | undefined;
  return {
    ended: () => {
      ended ??= outageGate.until(() => trials.ended(unit));
      return ended;
    },
  };
}

function poison(publish: Publish, now: number): DeadLetter {
  const explanation = `working on it failed or ended the worker ${MOST_DEATHS} times while nothing else was at work`;
  return { publish, reason: 'poison', explanation, at: now };
}
