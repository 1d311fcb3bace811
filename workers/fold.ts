import type { Store } from '../backbone/ports/store.ts';
import { clock } from '../core/clock.ts';
import { StoreRejected, WriteRefused, WriteTooLarge } from '../core/errors.ts';
import type { Reading } from '../telemetry/reading.ts';
import { isOutage, type OutageGate } from './outage-gate.ts';
import { RefusedReadings } from './refused-readings.ts';

export interface FoldLimits {
  /** Most readings in one write. */
  readonly readings: number;
  /** How long the first reading of a write waits for others, at most. */
  readonly lingerMs: number;
  /** Most writes under way at once. */
  readonly writes: number;
}

export const FOLD_LIMITS: FoldLimits = { readings: 5_000, lingerMs: 50, writes: 2 };

const SHORTEST_LINGER_MS = 5;
/**
 * After a full write faster than this, ms, the next may be larger. It is a quarter of what a store adapter waits for an
 * answer. A slow write does not make the next smaller: when the store is far away, small writes take as long, and there
 * would only be more of them.
 */
const FAST_MS = 2_500;
const FEWEST_READINGS = 100;

export interface FoldParts {
  readonly store: Pick<Store, 'write'>;
  readonly outageGate: OutageGate;
  /** Keeps readings that the store refuses for good. */
  readonly setAside: (readings: readonly Reading[], refusal: StoreRejected) => Promise<void>;
  /** Called after every write that the store took. */
  readonly wrote: (readings: number, seconds: number) => void;
  /** Aborted when the worker is stopped. */
  readonly signal: AbortSignal;
}

/** One call of `write`, and how many of its pieces are not done yet. */
interface FoldCaller {
  pieces: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Piece {
  readonly readings: readonly Reading[];
  readonly caller: FoldCaller;
}

interface FoldOutcome {
  readonly pieces: readonly Piece[];
  readonly refused?: Promise<void>;
}

/**
 * Folds the readings of many queue messages into few store writes.
 *
 * Readings wait until there are enough for a full write, or until the first of them has waited long enough. Both limits
 * follow the store's answers: after slow writes readings wait longer; a write that is too large or fails in an outage
 * halves the size; full writes that are fast make it larger again. In an outage readings go back to the front, and are
 * divided anew at the next attempt. What the store refuses goes its own way (`RefusedReadings`), and others are written meanwhile.
 */
export class Fold {
  private readonly parts: FoldParts;
  private readonly limits: FoldLimits;
  private waiting: Piece[] = [];
  private waitingReadings = 0;
  private most: number;
  private linger = SHORTEST_LINGER_MS;
  private due = false;
  private timer: NodeJS.Timeout | undefined;
  private writing = 0;
  private taken = 0;
  private readonly refused: RefusedReadings;

  constructor(parts: FoldParts, limits: FoldLimits = FOLD_LIMITS) {
    this.parts = parts;
    this.limits = limits;
    this.most = limits.readings;
    const { store, outageGate, setAside, signal } = parts;
    const wrote = () => {
      this.taken += 1;
    };
    this.refused = new RefusedReadings({ store, outageGate, setAside, signal, taken: () => this.taken, wrote });
  }

  /** Readings that the store refuses without a reason and that are tried again, and its answer; undefined when there are none. */
  get doubted(): { readonly readings: number; readonly why: string } | undefined {
    return this.refused.doubted;
  }

  /**
   * Resolves when every reading is in the store or set aside. Rejects with any error that is no outage (`isOutage`),
   * and when the worker is stopped during an outage.
   */
  write(readings: readonly Reading[]): Promise<void> {
    if (readings.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.waiting.push({ readings, caller: { pieces: 1, resolve, reject } });
      this.waitingReadings += readings.length;
      this.pump();
    });
  }

  private pump(): void {
    while (this.writing < this.limits.writes && this.waitingReadings > 0) {
      if (!this.due && this.waitingReadings < this.most) {
        this.timer ??= setTimeout(() => this.isDue(), this.linger);
        return;
      }
      clearTimeout(this.timer);
      this.timer = undefined;
      this.due = false;
      this.writing += 1;
      void this.writeOnce();
    }
  }

  private isDue(): void {
    this.timer = undefined;
    this.due = true;
    this.pump();
  }

  /** Makes one write and tells its callers. Never rejects. */
  private async writeOnce(): Promise<void> {
    const { pieces, refused } = await this.attempt();
    this.writing -= 1;
    this.pump();
    try {
      await refused;
    } catch (error) {
      for (const { caller } of pieces) caller.reject(error);
    }
    for (const { caller } of pieces) {
      caller.pieces -= 1;
      if (caller.pieces === 0) caller.resolve();
    }
  }

  /** Resolves with the pieces that the store has or refuses, and what becomes of them then. */
  private async attempt(): Promise<FoldOutcome> {
    let pieces: Piece[] = [];
    try {
      const turn = await this.parts.outageGate.turn();
      pieces = this.take();
      const readings = pieces.flatMap((piece) => piece.readings);
      const begun = clock.passed();
      try {
        await this.parts.store.write(readings);
        turn.worked();
        this.learn(readings.length, clock.passed() - begun);
      } catch (error) {
        if (error instanceof WriteTooLarge && readings.length > 1) {
          turn.worked();
          this.most = Math.ceil(readings.length / 2);
          this.putBack(pieces);
          return { pieces: [] };
        }
        if (isOutage(error)) {
          turn.failed(error);
          // The store may have failed because the write was too large.
          this.most = Math.max(Math.min(FEWEST_READINGS, this.most), Math.ceil(this.most / 2));
          this.putBack(pieces);
          return { pieces: [] };
        }
        turn.worked();
        if (error instanceof StoreRejected) return { pieces, refused: this.refused.sift(readings, error) };
        if (error instanceof WriteRefused) return { pieces, refused: this.refused.doubt(readings, error) };
        throw error;
      }
      return { pieces };
    } catch (error) {
      // No pieces were taken if the worker was stopped in an outage. Those that wait then get no attempt any more.
      for (const { caller } of pieces.length > 0 ? pieces : this.take()) caller.reject(error);
      return { pieces: [] };
    }
  }

  private take(): Piece[] {
    const taken: Piece[] = [];
    let room = this.most;
    while (room > 0) {
      const next = this.waiting.shift();
      if (!next) break;
      const { readings, caller } = next;
      if (readings.length > room) {
        caller.pieces += 1;
        this.waiting.unshift({ readings: readings.slice(room), caller });
        taken.push({ readings: readings.slice(0, room), caller });
        break;
      }
      taken.push(next);
      room -= readings.length;
    }
    for (const { readings } of taken) this.waitingReadings -= readings.length;
    return taken;
  }

  private putBack(pieces: readonly Piece[]): void {
    this.waiting.unshift(...pieces);
    for (const { readings } of pieces) this.waitingReadings += readings.length;
    // These pieces have waited before: the next write does not linger.
    this.due = true;
  }

  private learn(readings: number, ms: number): void {
    this.taken += 1;
    this.linger = Math.min(this.limits.lingerMs, Math.max(SHORTEST_LINGER_MS, (this.linger + ms / 2) / 2));
    if (ms < FAST_MS && readings >= this.most) this.most = Math.min(this.limits.readings, Math.ceil(this.most * 1.25));
    this.parts.wrote(readings, ms / 1000);
  }
}
