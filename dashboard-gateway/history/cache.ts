import { LRUCache } from 'lru-cache';
import type { HistoryBucket } from '../../backbone/ports/store.ts';
import type { Changed } from '../../telemetry/batch.ts';

/** Most bytes of all cached answers. Above it, the answers that were asked for longest ago are removed first. */
const MAX_BYTES = 32 * 1024 * 1024;
/** How long an answer is kept. A write that was not announced on the live log, such as one by hand, shows after this time. */
const GOOD_FOR_MS = 5 * 60_000;

const COLUMNS = 7;

/**
 * What an answer is about: one metric of some sensors of a farm, cut into buckets of one width. It depends on values with
 * from <= ts < to: those in its buckets, and before them those that may be held in them.
 */
export interface AnswerSubject {
  readonly farm: string;
  readonly metric: string;
  readonly sensors: ReadonlySet<string>;
  readonly from: number;
  readonly to: number;
  /** The cache key, made of what was asked and the bucket width. */
  readonly key: string;
}

interface CachedAnswer {
  readonly subject: AnswerSubject;
  readonly numbers: Float64Array;
}

/** Keeps the store's answers about the past, until something is written into their range. */
export class HistoryCache {
  readonly counters = { hit: 0, miss: 0, dropped: 0, cleared: 0 };
  private readonly kept: LRUCache<string, CachedAnswer>;
  /** By farm, then by metric: the answers that a late value may make out of date. */
  private readonly subjects = new Map<string, Map<string, Set<AnswerSubject>>>();

  /** `now`: ms by a monotonic clock. */
  constructor(now: () => number) {
    this.kept = new LRUCache<string, CachedAnswer>({
      maxSize: MAX_BYTES,
      sizeCalculation: ({ subject, numbers }) =>
        numbers.byteLength + subject.key.length + 64 * subject.sensors.size + 500,
      ttl: GOOD_FOR_MS,
      perf: { now },
      dispose: ({ subject }) => this.subjects.get(subject.farm)?.get(subject.metric)?.delete(subject),
    });
  }

  get bytes(): number {
    return this.kept.calculatedSize;
  }

  get(key: string): HistoryBucket[] | undefined {
    const found = this.kept.get(key);
    if (found === undefined) this.counters.miss++;
    else this.counters.hit++;
    return found && unpacked(found.numbers);
  }

  put(subject: AnswerSubject, buckets: readonly HistoryBucket[]): void {
    this.kept.set(subject.key, { subject, numbers: packed(buckets) });
    const ofFarm = getOrMake(this.subjects, subject.farm, () => new Map<string, Set<AnswerSubject>>());
    getOrMake(ofFarm, subject.metric, () => new Set<AnswerSubject>()).add(subject);
  }

  /** Removes the answers that a write has made out of date. Without `metrics`, every metric of the sensor may have changed. */
  drop({ farm, sensor, from, to }: Changed, metrics?: Iterable<string>): void {
    const ofFarm = this.subjects.get(farm);
    if (ofFarm === undefined) return;
    for (const metric of metrics ?? ofFarm.keys()) {
      for (const subject of ofFarm.get(metric) ?? []) {
        if (subject.from >= to || subject.to <= from || !subject.sensors.has(sensor)) continue;
        this.kept.delete(subject.key);
        this.counters.dropped++;
      }
    }
  }

  /** Removes every answer, because writes may have been missed. */
  clear(): void {
    this.kept.clear();
    this.subjects.clear();
    this.counters.cleared++;
  }
}

function packed(buckets: readonly HistoryBucket[]): Float64Array {
  const numbers = new Float64Array(buckets.length * COLUMNS);
  for (const [i, { ts, last, min, max, mean, count, received }] of buckets.entries()) {
    numbers.set([ts, last, min, max, mean, count, received], i * COLUMNS);
  }
  return numbers;
}

function unpacked(numbers: Float64Array): HistoryBucket[] {
  return Array.from({ length: numbers.length / COLUMNS }, (_, i) => {
    const [ts = 0, last = 0, min = 0, max = 0, mean = 0, count = 0, received = 0] = numbers.subarray(i * COLUMNS);
    return { ts, last, min, max, mean, count, received };
  });
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
