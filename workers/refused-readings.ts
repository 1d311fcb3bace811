import type { Store } from '../backbone/ports/store.ts';
import { clock } from '../core/clock.ts';
import { explain, type LoamError, StoreRejected, WriteRefused, WriteTooLarge } from '../core/errors.ts';
import { pause } from '../core/timing.ts';
import type { Reading } from '../telemetry/reading.ts';
import { isOutage, type OutageGate } from './outage-gate.ts';

/** How often readings that were refused without a reason are tried again as they are, and a reading alone before it is set aside. */
const TRIES_TOGETHER = 2;
const TRIES_ALONE = 5;
/** The pause before each try doubles from the first to the longest, ms. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** From so many units on they are divided only while the store takes others. */
const MOST_UNPROVEN = 32;
/** A reading that comes alone is set aside without another that was taken meanwhile after so long, ms. */
const ALONE_MS = 60_000;
/** Answers that readings were set aside for: the next one needs no waiting. */
const MOST_KNOWN = 20;
const KNOWN_MS = 600_000;

export interface RefusedReadingsParts {
  readonly store: Pick<Store, 'write'>;
  readonly outageGate: OutageGate;
  /** Keeps readings that the store refuses for good. */
  readonly setAside: (readings: readonly Reading[], refusal: StoreRejected) => Promise<void>;
  /** How many writes of readings the store has taken, of all. */
  readonly taken: () => number;
  /** Called when the store has taken some here. */
  readonly wrote: () => void;
  readonly signal: AbortSignal;
}

/** Readings that are tried together. */
interface RefusedUnit {
  readonly readings: readonly Reading[];
  readonly group: RefusedGroup;
  readonly since: number;
  /** `taken` when it was made. */
  readonly taken: number;
  tries: number;
  notBefore: number;
}

/** The readings of one refused write, and how many units of it are left. */
interface RefusedGroup {
  left: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What becomes of readings that the store refuses, while all others are written.
 *
 * Those that it rejects for good (`sift`) are found by its answer, or by halving, and set aside.
 *
 * Those that it refuses without a reason, while it works (`doubt`), may be the server's fault or theirs. They are tried again, then in halves,
 * one unit after the other, until each is taken or stands alone. A reading that is refused alone several times is set aside when the
 * store took other readings meanwhile: a store that takes none has a fault of its own, and everything waits for its end.
 */
export class RefusedReadings {
  private readonly parts: RefusedReadingsParts;
  private readonly units: RefusedUnit[] = [];
  private readonly known = new Map<string, number>();
  private running = false;
  private why = '';

  constructor(parts: RefusedReadingsParts) {
    this.parts = parts;
  }

  /** Readings that are tried again, and the last answer to some of them; undefined when there are none. */
  get doubted(): { readonly readings: number; readonly why: string } | undefined {
    if (this.units.length === 0) return undefined;
    return { readings: this.units.reduce((sum, { readings }) => sum + readings.length, 0), why: this.why };
  }

  /** Resolves when each is stored or set aside. Rejects when the worker is stopped meanwhile. */
  async sift(readings: readonly Reading[], refusal: StoreRejected): Promise<void> {
    const { suspects = [], certain } = refusal;
    if (readings.length === 1) return await this.parts.setAside(readings, refusal);
    const [others, suspected] = parted(readings, suspects);
    // The others of a write that was kept in part are written again: then nobody has to trust that they were.
    if (certain && suspected.length > 0) {
      if (others.length > 0) await this.siftPart(others);
      return await this.parts.setAside(suspected, refusal);
    }
    const isDivided = suspected.length > 0 && others.length > 0;
    for (const part of isDivided ? [others, suspected] : halves(readings)) await this.siftPart(part);
  }

  /** Resolves when each is stored or set aside. Rejects when the worker is stopped meanwhile. */
  doubt(readings: readonly Reading[], refusal: WriteRefused): Promise<void> {
    return new Promise((resolve, reject) => {
      this.refused(refusal);
      this.add(readings, { left: 0, resolve, reject });
      void this.work();
    });
  }

  private async siftPart(readings: readonly Reading[]): Promise<void> {
    const refusal = await this.write(readings);
    if (refusal instanceof StoreRejected) await this.sift(readings, refusal);
    else if (refusal) await this.doubt(readings, refusal);
  }

  /** Resolves with the refusal, if it is one; waits outages out. */
  private async write(readings: readonly Reading[]): Promise<StoreRejected | WriteRefused | undefined> {
    const { store, outageGate, wrote } = this.parts;
    try {
      const isAway = (error: unknown): error is LoamError => isOutage(error) && !isTooLarge(error, readings);
      await outageGate.until(() => store.write(readings), isAway);
      wrote();
      return undefined;
    } catch (error) {
      if (error instanceof StoreRejected || error instanceof WriteRefused) return error;
      if (isTooLarge(error, readings)) return new WriteRefused(explain(error), { cause: error });
      throw error;
    }
  }

  private add(readings: readonly Reading[], group: RefusedGroup): void {
    group.left += 1;
    const now = clock.passed();
    const notBefore = now + FIRST_PAUSE_MS;
    this.units.push({ readings, group, since: now, taken: this.parts.taken(), tries: 0, notBefore });
  }

  /** Tries what is due, one unit at a time. Never rejects. */
  private async work(): Promise<void> {
    if (this.running) return;
    this.running = true;
    while (this.units.length > 0) {
      const next = this.units.reduce((first, unit) => (unit.notBefore < first.notBefore ? unit : first));
      await pause(Math.max(0, next.notBefore - clock.passed()), this.parts.signal);
      try {
        if (this.parts.signal.aborted) throw new Error('stopped while readings were tried again');
        await this.attempt(next);
      } catch (error) {
        this.remove(next);
        next.group.reject(error);
      }
    }
    this.running = false;
  }

  private async attempt(unit: RefusedUnit): Promise<void> {
    const { readings, group } = unit;
    const refusal = await this.write(readings);
    if (refusal instanceof WriteRefused) {
      this.refused(refusal);
      unit.tries += 1;
      if (readings.length === 1) await this.judge(unit, refusal);
      else if (!this.mayDivide(unit, refusal)) this.later(unit);
      else {
        this.remove(unit);
        for (const half of halves(readings)) this.add(half, group);
        this.end(unit);
      }
      return;
    }
    this.remove(unit);
    // Not waited for: some of it may have to be tried here again.
    if (refusal) this.sift(readings, refusal).then(() => this.end(unit), group.reject);
    else this.end(unit);
  }

  /** A store that takes nothing at all is not asked for each reading of all that waits. */
  private mayDivide(unit: RefusedUnit, refusal: WriteRefused): boolean {
    const isProven = this.parts.taken() > unit.taken;
    const hasWaited = unit.tries >= TRIES_TOGETHER || this.isKnown(refusal);
    return hasWaited && (isProven || this.units.length < MOST_UNPROVEN);
  }

  /** Sets a reading aside that was refused alone, when that is sure. */
  private async judge(unit: RefusedUnit, refusal: WriteRefused): Promise<void> {
    const isProven = this.parts.taken() > unit.taken;
    const isAlone = this.units.length === 1 && clock.passed() - unit.since > ALONE_MS;
    const tries = this.isKnown(refusal) ? 1 : TRIES_ALONE;
    if (unit.tries < tries || !(isProven || isAlone)) return this.later(unit);
    const times = `${unit.tries} times alone, while the store worked`;
    await this.parts.setAside(unit.readings, new StoreRejected(`it was refused ${times}: ${explain(refusal)}`));
    this.know(refusal);
    this.remove(unit);
    this.end(unit);
  }

  private later(unit: RefusedUnit): void {
    const ms = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(unit.tries, 10), LONGEST_PAUSE_MS);
    unit.notBefore = clock.passed() + ms;
  }

  private remove(unit: RefusedUnit): void {
    const place = this.units.indexOf(unit);
    if (place >= 0) this.units.splice(place, 1);
  }

  private end({ group }: RefusedUnit): void {
    group.left -= 1;
    if (group.left === 0) group.resolve();
  }

  private refused(refusal: WriteRefused): void {
    this.why = explain(refusal);
  }

  private isKnown(refusal: WriteRefused): boolean {
    const until = this.known.get(kindOf(refusal));
    return until !== undefined && clock.passed() < until;
  }

  private know(refusal: WriteRefused): void {
    const kind = kindOf(refusal);
    this.known.delete(kind);
    this.known.set(kind, clock.passed() + KNOWN_MS);
    for (const oldest of this.known.keys()) if (this.known.size > MOST_KNOWN) this.known.delete(oldest);
  }
}

function isTooLarge(error: unknown, readings: readonly Reading[]): boolean {
  return error instanceof WriteTooLarge && readings.length > 1;
}

/** Answers that differ in their numbers only are of one kind. */
function kindOf(refusal: WriteRefused): string {
  return explain(refusal).slice(0, 300).replace(/\d+/g, '#');
}

function parted(readings: readonly Reading[], suspects: readonly number[]): [Reading[], Reading[]] {
  const places = new Set(suspects);
  return [readings.filter((_, place) => !places.has(place)), readings.filter((_, place) => places.has(place))];
}

function halves(readings: readonly Reading[]): (readonly Reading[])[] {
  const half = Math.ceil(readings.length / 2);
  return [readings.slice(0, half), readings.slice(half)];
}
