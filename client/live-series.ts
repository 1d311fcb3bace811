import { retryDelay } from './backoff.ts';
import type { LiveClient } from './client.ts';
import { Doubts } from './doubtful-buckets.ts';
import type { Row } from './messages.ts';
import { type HeldValue, type HistoryAnswer, Series } from './series.ts';

/** Unix ms, `from <= ts < to`, at most `points` buckets. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly points: number;
}

export interface LiveSeriesOptions {
  readonly client: Pick<LiveClient, 'on'>;
  /** Whether a live row belongs to the series; `field` is the field of its sensor. */
  readonly accepts: (row: Row, field: string | undefined) => boolean;
  /**
   * Whether the series has rows of several sensors, such as a field's; default: true. For one sensor, every mean is
   * known from its live rows without another fetch.
   */
  readonly several?: boolean;
  /**
   * Of several sensors: what each says in a bucket that begins at `begin` (Unix ms) until it measures there, its last value
   * from before if that still stands for it. Left out: nothing.
   */
  readonly heldAt?: (begin: number) => Iterable<HeldValue>;
  /** Whether the values are directions in degrees, whose means on the circle only the gateway tells; default: false. */
  readonly directions?: boolean;
  /** The range to show. Called at each fetch and when rows arrive, because the range may move with the clock. */
  readonly span: () => Span;
  /** Fetches a range from the gateway's history. When a fetch of the whole range fails, `onProblem` gets the error. */
  readonly fetch: (span: Span, signal: AbortSignal) => Promise<HistoryAnswer>;
  /** Called when the content of the series has changed. */
  readonly onChange: () => void;
  /** A fetch of the whole range failed; `again` says whether the series retries by itself. */
  readonly onProblem?: (error: unknown, again: boolean) => void;
  /** Whether a fetch that failed with `error` may work later; by default each may. */
  readonly mayPass?: (error: unknown) => boolean;
  /** The time by the gateway's clock, Unix ms; default: this machine's clock. It decides which live rows are late. */
  readonly now?: () => number;
  /** How long the store may take to have a value after the value was announced, ms; default: 5 s. */
  readonly settleMs?: number;
}

/** Most rows kept during a fetch. With more, the oldest are dropped: they are the likeliest to be in the answer. */
const MAX_PENDING = 2000;
const SETTLE_MS = 5000;
const LEAST_WAIT_MS = 1000;
/** With days of 23 and 25 hours, each end of a second fetch may reach into one more bucket. */
const SPARE = 2;
/** A second fetch asks for at least this many buckets, so that the gateway chooses the same bucket width for them. */
const LEAST_BUCKETS = 40;
/** How often a mean that only the gateway knows is fetched as its bucket fills; at least every five minutes. */
const FETCHES_PER_BUCKET = 20;
const LONGEST_WAIT_MS = 300_000;

/**
 * A range of history that live rows extend and that corrects itself.
 *
 * The range is fetched, live rows are folded into it, and after a `gap` it is fetched again. A value is announced
 * before the store has it. So around every fetch a value may be in the answer, among the live rows, or in both. Those
 * buckets are doubtful: they are fetched once more when no row has arrived in them for `settleMs`. The series then
 * shows the same as that of a client that never lost its connection.
 *
 * With several sensors, the mean of a bucket is the mean of the sensors' own means. These are known only where live
 * rows alone made the bucket. Other buckets keep the gateway's mean until they are fetched again: when they are at rest
 * or, while rows keep arriving, from time to time.
 */
export class LiveSeries {
  readonly #options: LiveSeriesOptions;
  readonly #isOfSeveral: boolean;
  readonly #doubts: Doubts;
  readonly #ends: (() => void)[];
  #series: Series | undefined;
  #fetching = new AbortController();
  /** The timer of the next second fetch. It stays set until that fetch is over. */
  #again: ReturnType<typeof setTimeout> | undefined;
  #endPause: () => void = () => {};
  /** Live rows that arrived during the fetch of the whole range; undefined when no such fetch is under way. */
  #pending: Row[] | undefined;
  #closed = false;

  constructor(options: LiveSeriesOptions) {
    this.#options = options;
    this.#isOfSeveral = options.several ?? true;
    this.#doubts = new Doubts(options.settleMs ?? SETTLE_MS);
    this.#ends = [
      options.client.on('readings', ({ field, rows }) => this.#take(field, rows)),
      options.client.on('gap', () => this.load()),
      options.client.on('state', (state) => {
        if (state.phase === 'live') this.#endPause();
      }),
    ];
    this.load();
  }

  /** The series so far; undefined until the first fetch was answered or failed. */
  get series(): Series | undefined {
    return this.#series;
  }

  /** Whether no bucket waits for a second fetch. */
  get settled(): boolean {
    return this.#pending === undefined && this.#doubts.none;
  }

  /** Fetches the whole range again. */
  load(): void {
    this.#fetching.abort();
    this.#stopWaiting();
    this.#fetching = new AbortController();
    void this.#fetchAll(this.#fetching.signal);
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
    this.#fetching.abort();
    this.#endPause();
    this.#stopWaiting();
  }

  async #fetchAll(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const begun = performance.now();
      this.#pending = [];
      try {
        const span = this.#options.span();
        const answer = await this.#options.fetch(span, signal);
        if (!signal.aborted) this.#begin(this.#seriesOf(answer), span, begun);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const again = this.#options.mayPass?.(error) ?? true;
        // If the first fetch fails, the series begins with the live rows that arrived since it began.
        if (this.#series === undefined)
          this.#begin(this.#seriesOf({ bucketMs: this.#roughWidth(), rows: [] }), undefined, begun);
        this.#pending = undefined;
        this.#options.onProblem?.(error, again);
        if (!again) return;
        await this.#pause(Math.max(LEAST_WAIT_MS, retryDelay(attempt + 1)));
      }
    }
  }

  #seriesOf(answer: HistoryAnswer): Series {
    return new Series(answer, undefined, this.#options.directions);
  }

  #begin(series: Series, span: Span | undefined, begun: number): void {
    const pending = this.#pending ?? [];
    this.#pending = undefined;
    this.#series = series;
    this.#doubts.clear();
    // Any value, also one measured long ago, may have been announced a moment ago and not be stored yet.
    if (span) this.#doubts.add(series.startOf(span.from), series.startOf(Math.min(span.to, this.#now())), begun);
    for (const row of pending) this.#fold(row);
    this.#options.onChange();
    this.#lookAgainLater();
  }

  #take(field: string | undefined, rows: readonly Row[]): void {
    const { from, to } = this.#options.span();
    let changed = false;
    for (const row of rows) {
      if (row.ts < from || row.ts >= to || !this.#options.accepts(row, field)) continue;
      if (this.#pending && this.#pending.push(row) > MAX_PENDING) this.#pending.shift();
      if (this.#series === undefined) continue;
      this.#fold(row);
      changed = true;
    }
    if (changed) this.#options.onChange();
    if (this.#again === undefined && this.#pending === undefined) this.#lookAgainLater();
  }

  #fold(row: Row): void {
    const series = this.#series;
    if (series === undefined) return;
    const received = this.#now();
    const ts = series.fold(this.#isOfSeveral ? row : { ...row, sensor: undefined }, received, this.#options.heldAt);
    this.#doubts.touch(ts, performance.now());
    if (!series.knowsMean(ts)) this.#doubts.ask(ts, performance.now());
  }

  /** By the gateway's clock, as far as that is known. */
  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  #lookAgainLater(): void {
    this.#stopWaiting();
    const wait = this.#doubts.nextAfter(performance.now());
    if (wait === undefined || this.#closed) return;
    this.#again = setTimeout(() => void this.#lookAgain(), wait);
  }

  #stopWaiting(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
  }

  /** Fetches again the doubtful buckets that rest or have waited too long, and takes the store's values. */
  async #lookAgain(): Promise<void> {
    const series = this.#series;
    const rested = this.#doubts.rested(performance.now(), this.#patience());
    if (series === undefined || rested === undefined) return this.#lookAgainLater();
    const { signal } = this.#fetching;
    const width = series.bucketMs;
    const to = rested.to + width;
    const count = Math.round((to - rested.from) / width);
    const from = to - Math.max(count, LEAST_BUCKETS) * width;
    const begun = performance.now();
    try {
      const answer = await this.#options.fetch({ from, to, points: Math.max(count, LEAST_BUCKETS) + SPARE }, signal);
      if (signal.aborted) return;
      if (answer.bucketMs === width) {
        series.replace(rested.from, to, answer.rows, this.#doubts.touchedSince(begun - this.#doubts.settleMs));
        this.#options.onChange();
      }
      this.#doubts.settle(rested, begun);
    } catch (error) {
      if (signal.aborted) return;
      if (!(this.#options.mayPass?.(error) ?? true)) this.#doubts.clear();
    }
    this.#lookAgainLater();
  }

  #patience(): number {
    const asks = this.#isOfSeveral || this.#options.directions === true;
    if (!asks || this.#series === undefined) return Number.POSITIVE_INFINITY;
    const share = Math.min(LONGEST_WAIT_MS, this.#series.bucketMs / FETCHES_PER_BUCKET);
    return Math.max(this.#doubts.settleMs, share);
  }

  #roughWidth(): number {
    const { from, to, points } = this.#options.span();
    return Math.max(1, Math.round((to - from) / points));
  }

  /** Resolves after `ms`, or earlier when the connection is live again or the series is closed. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
