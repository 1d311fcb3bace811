import { msOf } from '../../../telemetry/instant.ts';
import type { Reading } from '../../../telemetry/reading.ts';

/** The readings of one entry of the log. `at` is the latest receipt among them, Unix ms. */
export interface WindowEntry {
  readonly offset: number;
  readonly at: number;
  readonly readings: readonly Reading[];
}

/** How many readings may be kept, over all windows. */
export interface ReadingBudget {
  left: number;
}

/**
 * The newest entries of a log that have readings for this window: every such entry from `from` on is here, older ones
 * are not. Two limits hold: `limit` readings in this window, and the budget of all windows together. Above either, the
 * oldest entries are dropped.
 */
export class EntryWindow {
  private entries: WindowEntry[] = [];
  private begin = 0;
  private size = 0;
  private start: number;
  private startAt: number;
  private released = false;
  private readonly limit: number;
  private readonly budget: ReadingBudget;

  /** `since` is a time (Unix ms) before every entry from `from` on; 0 when no such time is known. */
  constructor(from: number, since: number, limit: number, budget: ReadingBudget) {
    this.start = from;
    this.startAt = since;
    this.limit = limit;
    this.budget = budget;
  }

  /** The offset from which on nothing is missing. */
  get from(): number {
    return this.start;
  }

  /** Takes in the next entry of the log. */
  add(offset: number, readings: readonly Reading[]): void {
    if (readings.length === 0 || this.released) return;
    this.entries.push({ offset, at: lastReceived(readings), readings });
    this.hold(readings.length);
    while ((this.size > this.limit || this.budget.left < 0) && this.begin < this.entries.length) this.dropOldest();
    // Taking from the front one by one would move the whole list each time.
    if (this.begin > 1_000 && this.begin * 2 > this.entries.length) this.compact();
  }

  /**
   * Takes in older entries, in order: all from `from` on, up to where this window began; `since` as in the constructor.
   * When they are more than the limits allow, only the newest of them.
   */
  prepend(from: number, since: number, older: readonly WindowEntry[]): void {
    if (this.released) return;
    const fitting = newest(older, Math.min(this.limit - this.size, this.budget.left));
    const dropped = older.at(-fitting.length - 1);
    this.compact();
    this.entries = [...fitting, ...this.entries];
    this.hold(count(fitting));
    this.start = dropped ? dropped.offset + 1 : from;
    this.startAt = dropped ? dropped.at : since;
  }

  /** The entries after `offset`, oldest first. */
  *after(offset: number): Generator<WindowEntry> {
    for (let i = this.indexAfter(offset); i < this.entries.length; i++) {
      const entry = this.entries[i];
      if (entry) yield entry;
    }
  }

  /** A time (Unix ms) before which no entry after `offset` came; 0 when this window does not know one. */
  timeOf(offset: number): number {
    const before = this.indexAfter(offset) - 1;
    return before < this.begin ? this.startAt : (this.entries[before]?.at ?? 0);
  }

  /** Forgets everything; entries from `from` on are kept again. */
  restart(from: number): void {
    this.hold(-this.size);
    this.entries = [];
    this.begin = 0;
    this.start = from;
    this.startAt = 0;
  }

  /** Forgets everything and keeps no further entries. A catch-up may still be reading the log back for this window. */
  release(): void {
    this.restart(Number.POSITIVE_INFINITY);
    this.released = true;
  }

  private indexAfter(offset: number): number {
    let low = this.begin;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.entries[middle]?.offset ?? Number.POSITIVE_INFINITY) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private hold(readings: number): void {
    this.size += readings;
    this.budget.left -= readings;
  }

  private dropOldest(): void {
    const oldest = this.entries[this.begin];
    if (!oldest) return;
    this.hold(-oldest.readings.length);
    this.start = oldest.offset + 1;
    this.startAt = oldest.at;
    this.begin++;
  }

  private compact(): void {
    this.entries = this.entries.slice(this.begin);
    this.begin = 0;
  }
}

function count(entries: readonly WindowEntry[]): number {
  return entries.reduce((sum, { readings }) => sum + readings.length, 0);
}

/** As many of the last entries as have at most `limit` readings together. */
function newest(entries: readonly WindowEntry[], limit: number): readonly WindowEntry[] {
  let first = entries.length;
  for (let readings = 0; first > 0; first--) {
    readings += entries[first - 1]?.readings.length ?? 0;
    if (readings > limit) break;
  }
  return entries.slice(first);
}

/** When the last of the readings was received, whole Unix ms. */
export function lastReceived(readings: readonly Reading[]): number {
  let last = 0;
  for (const { received } of readings) if (received > last) last = received;
  return msOf(last);
}
