import { setMaxListeners } from 'node:events';
import { clock } from '../core/clock.ts';
import { explain, LoamError, StoreUnavailable, WriteRefused } from '../core/errors.ts';
import { type ConnectionState, type Health, healthOf } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { backoff, LONGEST_ASKED_MS, pause } from '../core/timing.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/**
 * The log says that an outage is over after this long without a failure, ms. A server that fails now and then is one
 * outage.
 */
const CALM_MS = 2_000;

/** A port whose outages are waited out. */
interface WatchedPort {
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
}

/** Permission to make one attempt. Its holder then calls exactly one of the two functions. */
export interface Attempt {
  /** The other side answered, even if it refused for good what it was given. */
  worked(): void;
  /** The other side is away, or told Loam to wait. */
  failed(error: LoamError): void;
}

/**
 * Waits out the outages of one port, for all work that needs the port.
 *
 * While the port answers, every attempt may start at once. After a failed attempt all work waits, and one attempt at a
 * time is made, after a pause with full jitter that grows. The first attempt that works lets all work go on. The pause
 * ends early when the port says that it is up again, but for what a server asked for by Retry-After. The log has one line when an outage begins and one when it ends.
 */
export class OutageGate {
  private readonly what: string;
  private readonly other: WatchedPort;
  private readonly log: Logger;
  private readonly signal: AbortSignal;
  private readonly unwatch: () => void;
  private away: { why: string; tries: number; askedMs: number } | undefined;
  private probing = false;
  private waiting: (() => void)[] = [];
  private wake = new AbortController();
  private saidAt: number | undefined;
  private calm: NodeJS.Timeout | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(what: string, other: WatchedPort, log: Logger, signal: AbortSignal) {
    this.what = what;
    this.other = other;
    this.log = log;
    this.signal = signal;
    // Every message at work may wait on the signal; the prefetch bounds how many there are.
    setMaxListeners(0, signal);
    this.unwatch = other.watch((state) => {
      if (state.is === 'up') this.wake.abort();
    });
    signal.addEventListener('abort', () => this.end(), { once: true });
  }

  /** Whether an outage is being waited out. */
  get isAway(): boolean {
    return this.away !== undefined;
  }

  health(): Health {
    const { away, what } = this;
    const { state } = this.other;
    // The port looks on while work waits: what it says is newer.
    return away && state.is === 'up' ? { name: what, ok: false, why: away.why } : healthOf(what, state);
  }

  /** Calls `listener` when an outage begins; returns a function that removes the listener. */
  whenAway(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Resolves when an attempt may be made. Rejects when the signal is aborted meanwhile. */
  async turn(): Promise<Attempt> {
    while (this.away) {
      if (this.signal.aborted) throw new Error(`stopped while ${this.what} was away`);
      if (!this.probing) return await this.probe(this.away);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return { worked: () => this.worked(), failed: (error) => this.failed(error) };
  }

  /**
   * Does `work` until it succeeds, and waits out every outage, which `isAway` tells. Rejects at once with any other
   * error. When the signal is aborted, rejects with the last error of `work`, or with a plain Error when the next
   * attempt was waited for.
   */
  async until(work: () => Promise<void>, isAway: (error: unknown) => error is LoamError = isOutage): Promise<void> {
    for (;;) {
      const turn = await this.turn();
      try {
        await work();
        return turn.worked();
      } catch (error) {
        if (!isAway(error)) {
          turn.worked();
          throw error;
        }
        turn.failed(error);
        if (this.signal.aborted) throw error;
      }
    }
  }

  private async probe(away: { tries: number; askedMs: number }): Promise<Attempt> {
    this.probing = true;
    this.wake = new AbortController();
    await pause(away.askedMs, this.signal);
    await pause(backoff(away.tries, FIRST_PAUSE_MS, LONGEST_PAUSE_MS), this.wake.signal);
    if (this.signal.aborted) {
      this.letNextTry();
      throw new Error(`stopped while ${this.what} was away`);
    }
    return {
      worked: () => {
        this.letNextTry();
        this.worked();
      },
      failed: (error) => {
        if (this.away) this.away = { ...describe(error), tries: this.away.tries + 1 };
        this.letNextTry();
        this.failed(error);
      },
    };
  }

  private letNextTry(): void {
    this.probing = false;
    for (const go of this.waiting.splice(0)) go();
  }

  private worked(): void {
    if (!this.away) return;
    this.away = undefined;
    for (const go of this.waiting.splice(0)) go();
    this.calm = setTimeout(() => this.sayBack(), CALM_MS).unref();
  }

  private failed(error: LoamError): void {
    clearTimeout(this.calm);
    if (this.away) return;
    this.away = { ...describe(error), tries: 0 };
    for (const listener of this.listeners) listener();
    if (this.saidAt !== undefined) return;
    this.saidAt = clock.passed();
    this.log.warn({ what: this.what, code: error.code }, `${this.what} is away, work is held: ${explain(error)}`);
  }

  private sayBack(): void {
    if (this.saidAt === undefined) return;
    const seconds = Math.round((clock.passed() - this.saidAt) / 1000);
    this.saidAt = undefined;
    this.log.info({ what: this.what, seconds }, `${this.what} is back`);
  }

  private end(): void {
    this.unwatch();
    this.wake.abort();
    if (!this.away) {
      clearTimeout(this.calm);
      this.sayBack();
    }
    for (const go of this.waiting.splice(0)) go();
  }
}

/** Whether the error means that work should wait until the other side is back. */
export function isOutage(error: unknown): error is LoamError {
  return error instanceof LoamError && error.advice === 'wait' && !(error instanceof WriteRefused);
}

function describe(error: LoamError): { why: string; askedMs: number } {
  const asked = error instanceof StoreUnavailable ? (error.retryAfterMs ?? 0) : 0;
  return { why: explain(error), askedMs: Math.min(asked, LONGEST_ASKED_MS) };
}
