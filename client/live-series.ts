import { retryDelay } from './backoff.ts';
import type { LiveClient } from './client.ts';
import { Doubts } from './doubts.ts';
import type { Row } from './messages.ts';
import { type HistoryAnswer, Series } from './series.ts';

/** Unix ms, `from <= ts < to`, at most `points` buckets. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly points: number;
}

export interface LiveSeriesOptions {
  readonly client: Pick<LiveClient, 'on'>;
  /** Which live rows belong to it; `field` is that of their sensor. */
  readonly accepts: (row: Row, field: string | undefined) => boolean;
  /** Whether rows of several sensors belong to it, as of a field; true unless told. Of one sensor every mean is known without asking again. */
  readonly several?: boolean;
  /** The range to show, asked at each fetch: it may move with the clock. */
  readonly span: () => Span;
  /** Asks the gateway's history; its rejections are passed to `onProblem`. */
  readonly fetch: (span: Span, signal: AbortSignal) => Promise<HistoryAnswer>;
  /** The content changed. */
  readonly onChange: () => void;
  /** A fetch failed; `again` says whether another try follows by itself. */
  readonly onProblem?: (error: unknown, again: boolean) => void;
  /** Whether a fetch that failed with `error` may work later; by default each may. */
  readonly mayPass?: (error: unknown) => boolean;
  /** The time by the gateway's clock, Unix ms; by default this machine's. Tells what of the live rows is late. */
  readonly now?: () => number;
  /** How long the store may take to have what was announced, ms. */
  readonly settleMs?: number;
}

/** Rows kept while a fetch is under way. Should more arrive, the oldest go: they are the likeliest to be in the answer. */
const MAX_PENDING = 2000;
const SETTLE_MS = 5000;
const LEAST_WAIT_MS = 1000;
/** Days of 23 and 25 hours may make the ends of a second look reach into one bucket more each. */
const SPARE = 2;
/** A second look asks for at least this many buckets, so that the gateway chooses the same width for them. */
const LEAST_BUCKETS = 40;
/** A mean that only the gateway knows is asked for so many times while its bucket is being filled, and at least every five minutes. */
const LOOKS_A_BUCKET = 20;
const LONGEST_PATIENCE_MS = 300_000;

/**
 * A stretch of history that keeps growing with live rows and heals by itself.
 *
 * It is fetched, live rows are folded in, and after a `gap` it is fetched again. A value is announced before the store has it, so
 * around every fetch some values may be in the answer, or among the live rows, or both: those buckets are doubtful, and are fetched
 * once more when nothing has arrived in them for `settleMs`. What is then shown is what a client shows that was never cut off.
 *
 * Of several sensors, the mean of a bucket is that of their own means. They are known where live rows alone made the bucket; the others' means
 * stay the gateway's until it is asked again, at rest as well or, while rows keep arriving, now and then.
 */
export class LiveSeries {
  readonly #options: LiveSeriesOptions;
  readonly #isOfSeveral: boolean;
  readonly #doubts: Doubts;
  readonly #ends: (() => void)[];
  #series: Series | undefined;
  #fetching = new AbortController();
  /** Set from when it is known that a look follows until it is over. */
  #again: ReturnType<typeof setTimeout> | undefined;
  #endPause: () => void = () => {};
  /** Rows of the fetch under way; undefined while there is none. */
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

  /** What is known so far; undefined until the first answer, or the first failure. */
  get series(): Series | undefined {
    return this.#series;
  }

  /** Whether nothing in it waits for a second look. */
  get settled(): boolean {
    return this.#pending === undefined && this.#doubts.none;
  }

  /** Fetches all of it again. */
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
      const begun = Date.now();
      this.#pending = [];
      try {
        const span = this.#options.span();
        const answer = await this.#options.fetch(span, signal);
        if (!signal.aborted) this.#begin(new Series(answer), span, begun);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const again = this.#options.mayPass?.(error) ?? true;
        // Without a history the series begins with what arrives from now on.
        if (this.#series === undefined)
          this.#begin(new Series({ bucketMs: this.#roughWidth(), rows: [] }), undefined, begun);
        this.#pending = undefined;
        this.#options.onProblem?.(error, again);
        if (!again) return;
        await this.#pause(Math.max(LEAST_WAIT_MS, retryDelay(attempt + 1)));
      }
    }
  }

  #begin(series: Series, span: Span | undefined, begun: number): void {
    const pending = this.#pending ?? [];
    this.#pending = undefined;
    this.#series = series;
    this.#doubts.clear();
    // Anything, also what is measured long ago, may have been announced a moment ago and not be stored yet.
    if (span) this.#doubts.add(series.startOf(span.from), series.startOf(Math.min(span.to, Date.now())), begun);
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
    const received = this.#options.now?.() ?? Date.now();
    const ts = series.fold(this.#isOfSeveral ? row : { ...row, sensor: undefined }, received);
    this.#doubts.touch(ts, Date.now());
    if (!series.knowsMean(ts)) this.#doubts.ask(ts, Date.now());
  }

  #lookAgainLater(): void {
    this.#stopWaiting();
    const wait = this.#doubts.nextAfter(Date.now());
    if (wait === undefined || this.#closed) return;
    this.#again = setTimeout(() => void this.#lookAgain(), wait);
  }

  #stopWaiting(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
  }

  /** Fetches the doubtful buckets that have come to rest, or that have kept it waiting, and takes the store's word for them. */
  async #lookAgain(): Promise<void> {
    const series = this.#series;
    const rested = this.#doubts.rested(Date.now(), this.#patience());
    if (series === undefined || rested === undefined) return this.#lookAgainLater();
    const { signal } = this.#fetching;
    const width = series.bucketMs;
    const to = rested.to + width;
    const count = Math.round((to - rested.from) / width);
    const from = to - Math.max(count, LEAST_BUCKETS) * width;
    const begun = Date.now();
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
    if (!this.#isOfSeveral || this.#series === undefined) return Number.POSITIVE_INFINITY;
    const share = Math.min(LONGEST_PATIENCE_MS, this.#series.bucketMs / LOOKS_A_BUCKET);
    return Math.max(this.#doubts.settleMs, share);
  }

  #roughWidth(): number {
    const { from, to, points } = this.#options.span();
    return Math.max(1, Math.round((to - from) / points));
  }

  /** Resolves after `ms`, or earlier when the line is live again or the series is closed. */
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
