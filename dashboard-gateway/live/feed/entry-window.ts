import type { Reading } from '../../../telemetry/reading.ts';

/** What one entry of the log brought. `at` is when the broker took the last of it, Unix ms. */
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
 * The newest entries of a log without a hole, as far as they concern somebody: every one from `from` on is here, older ones are not.
 * It holds so many readings at most, its own limit and a share of what all windows together may hold; then the oldest entries go.
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

  /** `since` is a time before that of any entry from `from` on, Unix ms; 0 when none is known. */
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

  /** Takes in the entry that follows the one before. */
  add(offset: number, readings: readonly Reading[]): void {
    if (readings.length === 0 || this.released) return;
    this.entries.push({ offset, at: lastReceived(readings), readings });
    this.hold(readings.length);
    while ((this.size > this.limit || this.budget.left < 0) && this.begin < this.entries.length) this.dropOldest();
    // Taking from the front one by one would move the whole list each time.
    if (this.begin > 1_000 && this.begin * 2 > this.entries.length) this.compact();
  }

  /**
   * Takes in older entries, in order: all that concern it from `from` on, up to where it began; `since` as in the constructor.
   * When they are more than it may hold, only the newest ones.
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

  /** A time before which the entry at `offset` was not yet followed by another, Unix ms; 0 when nothing here tells. */
  timeOf(offset: number): number {
    const before = this.indexAfter(offset) - 1;
    return before < this.begin ? this.startAt : (this.entries[before]?.at ?? 0);
  }

  /** Forgets everything; what comes from `from` on is kept again. */
  restart(from: number): void {
    this.hold(-this.size);
    this.entries = [];
    this.begin = 0;
    this.start = from;
    this.startAt = 0;
  }

  /** Forgets everything and keeps nothing any more: nobody needs it, though somebody may still be reading back for it. */
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

export function lastReceived(readings: readonly Reading[]): number {
  let last = 0;
  for (const { received } of readings) if (received > last) last = received;
  return last;
}
