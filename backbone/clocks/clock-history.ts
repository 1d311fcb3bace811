import { STEP_MS } from '../../core/clock-watch.ts';
import { EncodingInvalid } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type ClockEntry, decodeClockEntry } from '../../telemetry/clock-entry.ts';
import { instant, msOf, subOf } from '../../telemetry/instant.ts';
import type { Log } from '../ports/log.ts';
import { RecentFollower } from '../ports/recent-follower.ts';

/** Runs that are remembered; at one more the oldest is forgotten, and its receipts are taken as they are. */
const MOST_RUNS = 20_000;

/** A receipt as it would have been by the clock as it was set later, and the run whose clock that is. */
export interface CorrectedReceipt {
  readonly received: number;
  readonly run: string;
  /** Whether nobody believes that clock either, and what it dates waits. */
  readonly waits: boolean;
}

/** Receipts that were given while the wall clock was wrong, by that clock, Unix ms. */
export interface WrongReceipts {
  readonly from: number;
  readonly to: number;
  /** How far it was set afterwards, ms: ahead when it is positive. */
  readonly byMs: number;
}

/**
 * What became of the clocks by which publishes were received, as the log of clocks says. The wall clock of a machine as it was set last counts
 * as the right one: all earlier receipts of the machine, since it was started, are off by what it was set since.
 */
export class ClockHistory {
  private readonly runs = new Map<string, ClockEntry>();
  private readonly newest = new Map<string, ClockEntry>();
  private readonly listeners = new Set<() => void>();
  private readonly follower: RecentFollower;

  constructor(log: Log, logger: Logger) {
    this.follower = new RecentFollower(log, logger, ({ body }) => this.heard(body));
  }

  /** Resolves when the log was read, or after ten seconds: then it goes on in the background. Never rejects. */
  start(): Promise<void> {
    return this.follower.start();
  }

  stop(): Promise<void> {
    this.listeners.clear();
    return this.follower.stop();
  }

  /** Takes an entry in. It may be told more than once. */
  take(entry: ClockEntry): void {
    if (this.runs.has(entry.run)) return;
    this.runs.set(entry.run, entry);
    this.newest.set(entry.machine, entry);
    for (const [run, { machine }] of this.runs) {
      if (this.runs.size <= MOST_RUNS) break;
      this.runs.delete(run);
      if (this.newest.get(machine)?.run === run) this.newest.delete(machine);
    }
    for (const listener of this.listeners) listener();
  }

  /** Calls `listener` after each entry from now on; returns the function that ends it. */
  watch(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The clock of a machine as it was set last. */
  newestOf(machine: string): ClockEntry | undefined {
    return this.newest.get(machine);
  }

  /** All runs of a machine, the oldest first. */
  runsOf(machine: string): ClockEntry[] {
    return [...this.runs.values()].filter((entry) => entry.machine === machine);
  }

  /** Whether what was received by this run's clock needs to wait no more. Also true for a run of which nothing is known. */
  isDecided(run: string): boolean {
    const machine = this.runs.get(run)?.machine;
    return machine === undefined || this.newest.get(machine)?.waits !== true;
  }

  knows(run: string): boolean {
    return this.runs.has(run);
  }

  /** What the receipt `received` (an instant) of a batch of `run` was by the clock as it was set last. */
  corrected(run: string, received: number): CorrectedReceipt {
    const then = this.runs.get(run);
    const now = then && this.newest.get(then.machine);
    if (!then || !now) return { received, run, waits: false };
    const byMs = Math.round(now.distance - then.distance);
    const { run: by, waits } = now;
    if (Math.abs(byMs) <= STEP_MS) return { received, run: by, waits };
    return { received: instant(msOf(received) + byMs, subOf(received)), run: by, waits };
  }

  /** The receipts that are known to be wrong, the newest first. */
  wrong(most: number): WrongReceipts[] {
    const found: WrongReceipts[] = [];
    for (const then of [...this.runs.values()].reverse()) {
      const byMs = this.corrected(then.run, then.at).received - then.at;
      if (byMs === 0) continue;
      const next = this.runsOf(then.machine).find(
        (other) => beginOf(other) >= beginOf(then) && Math.abs(other.distance - then.distance) > STEP_MS,
      );
      const to = next ? then.at + beginOf(next) - beginOf(then) : then.at;
      const later = found.at(-1);
      // Each entrance, and each start, has a run of its own by the same clock.
      if (later && Math.abs(later.to - to) < STEP_MS && Math.abs(later.byMs - byMs) < STEP_MS) {
        found[found.length - 1] = { ...later, from: Math.min(later.from, then.at) };
        continue;
      }
      if (found.length === most) break;
      found.push({ from: then.at, to, byMs });
    }
    return found;
  }

  private heard(body: Uint8Array): void {
    try {
      this.take(decodeClockEntry(body));
    } catch (error) {
      // Of a newer version, or damaged: what it says is not known, and receipts stay as they are.
      if (!(error instanceof EncodingInvalid)) throw error;
    }
  }
}

/** When a run began, ms since its machine was started. */
export function beginOf({ at, distance }: ClockEntry): number {
  return at - distance;
}
