import { createHash } from 'node:crypto';
import type { HeldSensor, HistoryBucket, HistoryQuery, Store } from '../../backbone/ports/store.ts';
import { longestHeld } from '../../backbone/ports/store-checks.ts';
import { clock } from '../../core/clock.ts';
import { STEP_MS } from '../../core/clock-watch.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { LiveEntry } from '../../telemetry/batch.ts';
import { msOf } from '../../telemetry/instant.ts';
import { sharesOf, WorkLimit } from '../http/work-limit.ts';
import type { WritesListener } from '../live/feed/feed.ts';
import { type BucketRow, chooseCut, type HistoryCut, toRow, wholeBuckets } from './buckets.ts';
import { type AnswerSubject, HistoryCache } from './cache.ts';
import { LateWrites } from './late-writes.ts';
import { SharedQueries } from './shared-queries.ts';

const LIMITS = { running: 8, runningOfOne: 6, waiting: 200 } as const;
const DEADLINE_MS = 30_000;
/** Readings younger than this may not be stored yet, so buckets with such times are not cached. */
const SETTLED_MS = 60_000;

export interface Asked {
  readonly farm: string;
  readonly zone: string;
  readonly sensors: readonly string[];
  /** Of a field: how long the last value of each of its sensors stands for it, by the registry of now. */
  readonly held?: readonly HeldSensor[];
  readonly metric: string;
  readonly from: number;
  readonly to: number;
  readonly points: number;
  /** The name of the user who asks. */
  readonly user: string;
}

export interface HistoryOptions {
  readonly store: Store;
  /** Whether the gateway follows the logs at the moment, so that it hears of every write. */
  readonly hearsAll: () => boolean;
  readonly metrics?: Metrics | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** What durations are measured by, ms. Absent: the monotonic clock. */
  readonly passed?: () => number;
}

/**
 * History in buckets, from the store or from its earlier answers.
 *
 * Of each answer, the cache keeps the whole buckets that are older than SETTLED_MS. When they are asked for again, from
 * about the same time on, only the edges are read from the store: the incomplete bucket at the beginning, and
 * everything newer. A write that is announced on the live log removes the answers that it falls into. It may reach the
 * store after its announcement, so for a while answers about its range are not cached again.
 */
export class History implements WritesListener {
  private readonly options: HistoryOptions;
  private readonly cache: HistoryCache;
  private readonly late = new LateWrites(2 * DEADLINE_MS);
  private readonly limit = new WorkLimit(LIMITS);
  private readonly flights = new SharedQueries<HistoryBucket[]>();
  private readonly unwatch: () => void;
  private readonly passed: () => number;
  private distance: number;

  constructor(options: HistoryOptions) {
    const { store, metrics, passed = clock.passed } = options;
    this.options = options;
    this.passed = passed;
    this.distance = options.now() - passed();
    this.cache = new HistoryCache(passed);
    // After an outage, readings are written to the store that were announced long ago.
    this.unwatch = store.watch(() => this.cache.clear());
    metrics?.counts(
      'loam_history_cache_total',
      'Histories answered from memory or not, and what was dropped from it',
      () => ({
        ...this.cache.counters,
      }),
    );
    metrics?.gauge('loam_history_cache_bytes', 'Memory that kept histories take', () => this.cache.bytes);
  }

  close(): void {
    this.unwatch();
    this.cache.clear();
  }

  begin(): void {
    this.cache.clear();
  }

  wrote({ readings, changed = [] }: LiveEntry): void {
    this.look();
    const now = this.options.now();
    const passed = this.passed();
    for (const { farm, sensor, ts, values } of readings) {
      if (ts >= now - SETTLED_MS) continue;
      const change = { farm, sensor, from: msOf(ts), to: msOf(ts) + 1 };
      this.late.add(change, passed);
      this.cache.drop(change, Object.keys(values));
    }
    for (const change of changed) {
      this.late.add(change, passed);
      this.cache.drop(change);
    }
  }

  /** At most `points` rows, in order of time. Rejects with StoreUnavailable, HttpProblem `busy`, or the reason of `left` when the caller leaves. */
  async ask(asked: Asked, left: AbortSignal): Promise<{ bucketMs: number; rows: BucketRow[] }> {
    const { from, to, zone } = asked;
    const cut = chooseCut(from, to, asked.points, zone);
    const buckets = asked.sensors.length === 0 ? [] : await this.buckets(asked, cut, left);
    return { bucketMs: cut.bucketMs, rows: buckets.map((bucket) => toRow(bucket, cut)) };
  }

  private async buckets(asked: Asked, cut: HistoryCut, left: AbortSignal): Promise<HistoryBucket[]> {
    this.look();
    const { farm, sensors, held = [], metric, from, to, user } = asked;
    const query = { farm, sensors, held, metric, bucket: cut.bucket };
    const whole = wholeBuckets(cut, from, Math.min(to, this.options.now() - SETTLED_MS));
    if (whole === undefined || !this.options.hearsAll()) return this.query({ ...query, from, to }, user, left);

    // A value from before the buckets may be held in them.
    const reach = { from: whole.from - longestHeld(query), to: whole.to };
    const subject = { farm, metric, sensors: new Set(sensors), ...reach, key: keyOf(asked, cut, whole) };
    const middle = async (signal: AbortSignal, begun: () => void) => {
      const found = await this.query({ ...query, ...whole }, user, signal, begun);
      this.keep(subject, found);
      return found;
    };
    const parts = await Promise.all([
      this.query({ ...query, from, to: whole.from }, user, left),
      this.cache.get(subject.key) ?? this.flights.join(subject.key, user, left, middle),
      this.query({ ...query, from: whole.to, to }, user, left),
    ]);
    return parts.flat();
  }

  /** When the clock is set, it has to be found out anew what is settled. */
  private look(): void {
    const distance = this.options.now() - this.passed();
    if (Math.abs(distance - this.distance) > STEP_MS) this.cache.clear();
    this.distance = distance;
  }

  private keep(subject: AnswerSubject, found: readonly HistoryBucket[]): void {
    const { farm, sensors } = subject;
    if (!this.options.hearsAll() || this.late.overlaps(farm, sensors, subject, this.passed())) return;
    this.cache.put(subject, found);
  }

  /** `begun` is called when it is its turn. */
  private async query(
    query: HistoryQuery,
    user: string,
    left: AbortSignal,
    begun: () => void = () => {},
  ): Promise<HistoryBucket[]> {
    if (query.from >= query.to) return [];
    return this.limit.run(sharesOf(user, query.farm), async () => {
      left.throwIfAborted();
      begun();
      const late = AbortSignal.timeout(DEADLINE_MS);
      try {
        return await this.options.store.history(query, AbortSignal.any([left, late]));
      } catch (error) {
        if (late.aborted && !left.aborted) throw new StoreUnavailable('no answer in time', { cause: error });
        throw error;
      }
    });
  }
}

function keyOf(
  { farm, metric, sensors, held = [] }: Asked,
  { bucket }: HistoryCut,
  whole: { from: number; to: number },
): string {
  const who = createHash('sha256')
    .update([...sensors].sort().join(' '))
    .update([...held].sort(([a], [b]) => (a < b ? -1 : 1)).join(' '))
    .digest('base64url');
  const width = 'ms' in bucket ? bucket.ms : `${bucket.days} ${bucket.daysIn}`;
  return [farm, metric, who, width, whole.from, whole.to].join(' ');
}
