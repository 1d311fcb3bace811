/** A stretch of buckets, by where its first and its last one begin, Unix ms. */
export interface DoubtfulSpan {
  readonly from: number;
  readonly to: number;
}

/** Touched buckets remembered beside the stretch; should there be more, all between the first and the last count. */
const MAX_TOUCHED = 1000;

/**
 * Which buckets of a series cannot be trusted: a stretch that was fetched while the store may have lagged behind, and single buckets that
 * live rows touched around that time. A bucket is at rest when nothing has touched it for `settleMs`.
 */
export class Doubts {
  readonly settleMs: number;
  readonly #touched = new Map<number, number>();
  /** `narrowed` when it holds nothing but buckets that were touched: looking again is of little use before they rest. */
  #stretch: (DoubtfulSpan & { readonly since: number; readonly narrowed: boolean }) | undefined;

  constructor(settleMs: number) {
    this.settleMs = settleMs;
  }

  get none(): boolean {
    return this.#stretch === undefined;
  }

  /** All from `from` to `to` is doubtful as of `since` (Unix ms). */
  add(from: number, to: number, since: number): void {
    this.#stretch = { from, to: Math.max(from, to), since, narrowed: false };
  }

  /** The bucket `ts` has to be looked at, though nothing else may be doubtful. */
  ask(ts: number, now: number): void {
    const { from, to, since, narrowed } = this.#stretch ?? { from: ts, to: ts, since: now, narrowed: true };
    this.#stretch = { from: Math.min(from, ts), to: Math.max(to, ts), since, narrowed };
  }

  /** A live row was folded into the bucket `ts`. */
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

  /** In how many ms it is worth looking again; undefined when nothing is doubtful. */
  nextAfter(now: number): number | undefined {
    if (this.#stretch === undefined) return undefined;
    return Math.max(this.settleMs / 2, this.#stretch.since + this.settleMs - now);
  }

  /** The doubtful stretch, once it has come to rest, or has not for `patienceMs`. */
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

  /** `looked` was fetched at `at`: what was touched shortly before or since stays doubtful, nothing else does. */
  settle(looked: DoubtfulSpan, at: number): void {
    // Since then it may have grown.
    const restless = this.#restless(this.#stretch ?? looked, at);
    for (const [ts, touched] of this.#touched) if (touched < at - this.settleMs) this.#touched.delete(ts);
    this.#stretch =
      restless.length === 0
        ? undefined
        : { from: Math.min(...restless), to: Math.max(...restless), since: Date.now(), narrowed: true };
  }

  #restless({ from, to }: DoubtfulSpan, now: number): number[] {
    return [...this.touchedSince(now - this.settleMs)].filter((ts) => ts >= from && ts <= to);
  }
}
