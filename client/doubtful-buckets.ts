/** A range of buckets: when its first and its last bucket begin, Unix ms. */
export interface DoubtfulSpan {
  readonly from: number;
  readonly to: number;
}

/** Most touched buckets that are remembered. With one more, the one touched first is forgotten. */
const MAX_TOUCHED = 1000;

/**
 * Keeps which buckets of a series may be wrong: a range that was fetched while the store may not have had all announced
 * values, and single buckets that were touched around that time. A live row touches the bucket into which it is folded.
 * A bucket is at rest when no row has touched it for `settleMs`. Moments are ms by a clock that nobody sets.
 */
export class Doubts {
  readonly settleMs: number;
  readonly #touched = new Map<number, number>();
  /** `narrowed`: it has only touched buckets, so a second fetch is of little use before they are at rest. */
  #stretch: (DoubtfulSpan & { readonly since: number; readonly narrowed: boolean }) | undefined;

  constructor(settleMs: number) {
    this.settleMs = settleMs;
  }

  get none(): boolean {
    return this.#stretch === undefined;
  }

  /** The buckets from `from` to `to` are doubtful since `since`, in place of an earlier range. */
  add(from: number, to: number, since: number): void {
    this.#stretch = { from, to: Math.max(from, to), since, narrowed: false };
  }

  /** The bucket that begins at `ts` must be fetched again, even if no other bucket is doubtful. */
  ask(ts: number, now: number): void {
    const { from, to, since, narrowed } = this.#stretch ?? { from: ts, to: ts, since: now, narrowed: true };
    this.#stretch = { from: Math.min(from, ts), to: Math.max(to, ts), since, narrowed };
  }

  /** A live row was folded into the bucket that begins at `ts`. */
  touch(ts: number, now: number): void {
    this.#touched.set(ts, now);
    if (this.#touched.size <= MAX_TOUCHED) return;
    const oldest = this.#touched.keys().next();
    if (!oldest.done) this.#touched.delete(oldest.value);
  }

  clear(): void {
    this.#touched.clear();
    this.#stretch = undefined;
  }

  /** In how many ms a second fetch is worth trying; undefined when no bucket is doubtful. */
  nextAfter(now: number): number | undefined {
    if (this.#stretch === undefined) return undefined;
    return Math.max(this.settleMs / 2, this.#stretch.since + this.settleMs - now);
  }

  /** The doubtful range, when its buckets are at rest or when they were not for `patienceMs`; undefined before that. */
  rested(now: number, patienceMs: number): DoubtfulSpan | undefined {
    const stretch = this.#stretch;
    if (stretch === undefined || now - stretch.since < this.settleMs) return undefined;
    const isRestless = stretch.narrowed && this.#restless(stretch, now).length > 0;
    return isRestless && now - stretch.since < patienceMs ? undefined : stretch;
  }

  /** Buckets touched at `since` or later. */
  touchedSince(since: number): Set<number> {
    return new Set([...this.#touched].filter(([, at]) => at >= since).map(([ts]) => ts));
  }

  /** After `looked` was fetched at `at`: only buckets touched later, or less than `settleMs` before, stay doubtful. */
  settle(looked: DoubtfulSpan, at: number): void {
    // The doubtful range may have grown since the fetch began.
    const restless = this.#restless(this.#stretch ?? looked, at);
    for (const [ts, touched] of this.#touched) if (touched < at - this.settleMs) this.#touched.delete(ts);
    this.#stretch =
      restless.length === 0
        ? undefined
        : { from: Math.min(...restless), to: Math.max(...restless), since: at, narrowed: true };
  }

  #restless({ from, to }: DoubtfulSpan, now: number): number[] {
    return [...this.touchedSince(now - this.settleMs)].filter((ts) => ts >= from && ts <= to);
  }
}
