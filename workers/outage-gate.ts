import { setMaxListeners } from 'node:events';
import { explain, LoamError, StoreUnavailable } from '../core/errors.ts';
import { type ConnectionState, type Health, healthOf } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { backoff, pause } from '../core/timing.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** What a server asks for by Retry-After is believed up to this. */
const LONGEST_ASKED_MS = 60_000;
/** An outage counts as over, for the log, when nothing has failed for so long: a server that fails by turns is one outage. */
const CALM_MS = 2_000;

/** Whom work is waited for: a port. */
interface WatchedPort {
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
}

/** Leave to make one attempt. It ends with exactly one of the two. */
export interface Attempt {
  /** The other side answered, be it that it refuses what it was given for good. */
  worked(): void;
  /** It is away, or told us to wait. */
  failed(error: LoamError): void;
}

/**
 * Waits out the outages of one port, for everybody who works with it.
 *
 * While the port answers, everybody gets a turn at once. After an attempt that failed everybody waits, and one at a time tries, after a
 * pause with full jitter that grows; the first attempt that works lets all of them go on at once. The pause is cut short when the port
 * says that it is back. An outage is said in one line when it begins and one when it ends.
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
    // Every message in hand waits on it; prefetch bounds them.
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
    return this.away ? { name: this.what, ok: false, why: this.away.why } : healthOf(this.what, this.other.state);
  }

  /** Calls `listener` when an outage begins; returns the function that ends it. */
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
   * Does `work` until it succeeds, waiting out every error whose advice is `wait`. Other errors are thrown on.
   * Rejects with the last error when the signal is aborted meanwhile.
   */
  async until(work: () => Promise<void>): Promise<void> {
    for (;;) {
      const turn = await this.turn();
      try {
        await work();
        return turn.worked();
      } catch (error) {
        if (!isOutage(error)) {
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
    const ms = Math.max(backoff(away.tries, FIRST_PAUSE_MS, LONGEST_PAUSE_MS), away.askedMs);
    await pause(ms, this.wake.signal);
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
    this.saidAt = performance.now();
    this.log.warn({ what: this.what, code: error.code }, `${this.what} is away, work is held: ${explain(error)}`);
  }

  private sayBack(): void {
    if (this.saidAt === undefined) return;
    const seconds = Math.round((performance.now() - this.saidAt) / 1000);
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

/** Whether the other side is to be waited for. */
export function isOutage(error: unknown): error is LoamError {
  return error instanceof LoamError && error.advice === 'wait';
}

function describe(error: LoamError): { why: string; askedMs: number } {
  const asked = error instanceof StoreUnavailable ? (error.retryAfterMs ?? 0) : 0;
  return { why: explain(error), askedMs: Math.min(asked, LONGEST_ASKED_MS) };
}
