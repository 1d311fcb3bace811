import { Closed, explain, StoreRejected, StoreUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { dayEdges, dayRuns } from '../../telemetry/calendar.ts';
import { instantOfMicros, msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { Days, ExportQuery, HistoryBucket, HistoryQuery, LatestValue, Store } from '../ports/store.ts';
import { isMetric, isName, refuseUnstorable, refuseWidth, storable, type TimeRange } from '../ports/store-checks.ts';
import { type InfluxAddress, parseInfluxUrl } from './address.ts';
import { query as ask, InfiniteNumber, type ResultRows, versionOf } from './http.ts';
import { ObservedConnection } from './observed-connection.ts';
import * as ql from './ql.ts';
import { InfluxWriter, isVersion1 } from './write.ts';

export interface InfluxOptions {
  /** How long one request of a write may take: 10 s unless told. */
  readonly writeTimeoutMs?: number;
  /** How long the server may stay silent while it is asked something: 30 s unless told. */
  readonly readTimeoutMs?: number;
  /** How often a server that is down is tried: every 2 s unless told. */
  readonly probeEveryMs?: number;
}

/**
 * Opens a database of an InfluxDB 1.x; it is made when it is missing and the user has the right to:
 * `influx://[user:password@]host:port/DATABASE`, or `influxs://…` for TLS.
 * For 2.x or 3.x: `influx://host:port/BUCKET?org=ORG&token=TOKEN`; the bucket has to exist (3.x makes it at the first
 * write).
 *
 * Rejects with StoreUnavailable when the server cannot be reached or the database cannot be used, with ConfigInvalid
 * for a wrong address.
 *
 * A reading is a point of the measurement `readings`, with the tags `farm` and `sensor` and one float field per metric.
 * Its time is its instant, to the microsecond.
 * Its receipt is a field of the point too: when a point was written in parts, all its values have the latest receipt.
 */
export async function openInfluxStore(url: string, options: InfluxOptions = {}): Promise<Store> {
  const address = parseInfluxUrl(url);
  const limits = { writeTimeoutMs: 10_000, readTimeoutMs: 30_000, probeEveryMs: 2_000, ...options };
  const version = await versionOf(address, limits.writeTimeoutMs);
  await ensureDatabase(address, version, limits.readTimeoutMs);
  return new InfluxStore(address, version, limits);
}

async function ensureDatabase(address: InfluxAddress, version: string, timeoutMs: number): Promise<void> {
  const { database } = address;
  const run = async (statement: string) => {
    const found: unknown[] = [];
    const signal = AbortSignal.timeout(timeoutMs);
    for await (const { values } of ask(address, statement, { timeoutMs, signal })) found.push(...values.flat());
    return found;
  };
  try {
    if ((await run('SHOW DATABASES')).includes(database)) return;
    if (isVersion1(version)) await run(`CREATE DATABASE ${ql.name(database)}`);
    else if (/^v?2\./.test(version)) throw new Error('there is no such bucket');
  } catch (cause) {
    throw new StoreUnavailable(`InfluxDB's database ${database} cannot be used: ${explain(cause)}`, { cause });
  }
}

/** Most calls that wait. A server with more is too slow to catch up, and more calls would only fill memory. */
const MAX_CALLS = 1_000;

/**
 * The store over HTTP requests, each on its own: there is no connection to lose. `ObservedConnection` tells the
 * server's state. `close` waits for writes under way and breaks off reads.
 */
class InfluxStore implements Store {
  private readonly address: InfluxAddress;
  private readonly writer: InfluxWriter;
  private readonly readTimeoutMs: number;
  private readonly connection: ObservedConnection;
  private readonly writes = new Set<Promise<void>>();
  private readonly closing = new AbortController();
  private calls = 0;
  private closed: Promise<void> | undefined;

  constructor(address: InfluxAddress, version: string, limits: Required<InfluxOptions>) {
    this.address = address;
    this.writer = new InfluxWriter(address, version, limits.writeTimeoutMs);
    this.readTimeoutMs = limits.readTimeoutMs;
    this.connection = new ObservedConnection(async () => {
      await this.rows(ql.PROBE);
    }, limits.probeEveryMs);
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.connection.watch(listener);
  }

  async write(readings: readonly Reading[]): Promise<void> {
    this.refuseClosed();
    refuseUnstorable(readings);
    if (readings.length === 0) return;
    const written = this.told(() => this.writer.write(readings));
    this.writes.add(written);
    try {
      await written;
    } finally {
      this.writes.delete(written);
    }
  }

  latest(farm: string): Promise<LatestValue[]> {
    return this.read(async () => {
      const metrics = await this.metrics();
      if (metrics.length === 0 || !isName(farm)) return [];
      // One statement per metric: a single one for several would lose the time of each.
      const found = await this.rows(metrics.map((metric) => ql.newest(farm, metric)).join('; '));
      return found.flatMap(({ statement, tags, values }) =>
        values.map(([at, value, received]) => ({
          sensor: tags.sensor ?? '',
          metric: metrics[statement] ?? '',
          ts: instantOfMicros(Number(at)),
          value: Number(value),
          received: Number(received),
        })),
      );
    });
  }

  async history(query: HistoryQuery, signal?: AbortSignal): Promise<HistoryBucket[]> {
    this.refuseClosed();
    signal?.throwIfAborted();
    const { bucket } = query;
    refuseWidth(bucket);
    const range = storable(query.from, query.to);
    const sensors = query.sensors.filter(isName);
    if (range === undefined || sensors.length === 0 || !isName(query.farm) || !isMetric(query.metric)) return [];
    const asked = { ...query, ...range, sensors };
    return await this.read(async () => {
      const cuts = 'ms' in bucket ? [{ ...range, width: bucket.ms, begin: 0 }] : await this.days(asked, bucket, signal);
      return cuts.length === 0 ? [] : await this.buckets(asked, cuts, signal);
    }, signal);
  }

  async *export(query: ExportQuery, signal?: AbortSignal): AsyncIterable<LatestValue> {
    this.refuseClosed();
    signal?.throwIfAborted();
    const range = storable(query.from, query.to);
    const sensors = query.sensors.filter(isName);
    if (range === undefined || sensors.length === 0 || !isName(query.farm)) return;
    const known = await this.read(() => this.metrics(), signal);
    const metrics = query.metrics === undefined ? known : known.filter((metric) => query.metrics?.includes(metric));
    if (metrics.length === 0) return;
    const points = this.ask(ql.points({ ...query, ...range, sensors }, metrics), signal);
    const next = () => this.read(() => points.next(), signal);
    try {
      // Only the waits for the server count for `connection`, not what the caller does between them.
      for (let rows = await next(); !rows.done; rows = await next()) {
        for (const [at, sensor, received, ...values] of rows.value.values) {
          const ts = instantOfMicros(Number(at));
          for (const [place, value] of values.entries()) {
            if (value === null) continue;
            const metric = metrics[place] ?? '';
            yield { sensor: String(sensor), metric, ts, value: Number(value), received: Number(received) };
          }
        }
      }
    } finally {
      await points.return(undefined);
    }
  }

  close(): Promise<void> {
    this.closed ??= this.shut();
    return this.closed;
  }

  private async shut(): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.writes);
    this.connection.close();
    this.writer.close();
  }

  /** The part of the range that holds values, in runs of equal days: an open range would otherwise make a century of them. */
  private async days(query: HistoryQuery, { daysIn, days }: Days, signal?: AbortSignal): Promise<ql.RangeCut[]> {
    const found = (await this.rows(ql.extent(query), signal)).flatMap(({ values }) => values);
    const ends = found.map(([at]) => msOf(instantOfMicros(Number(at))));
    const [first, last] = ends;
    if (first === undefined || last === undefined) return [];
    const held: TimeRange = { from: first, to: last + 1 };
    return ql.cutsOf(dayRuns(dayEdges(daysIn, held.from, held.to, days)), held);
  }

  private async buckets(
    query: HistoryQuery,
    cuts: readonly ql.RangeCut[],
    signal?: AbortSignal,
  ): Promise<HistoryBucket[]> {
    try {
      return toBuckets(await this.rows(cuts.map((cut) => ql.history(query, cut)).join('; '), signal), 1);
    } catch (error) {
      if (!(error instanceof InfiniteNumber)) throw error;
    }
    return toBuckets(await this.rows(cuts.map((cut) => ql.historyScaled(query, cut)).join('; '), signal), ql.SCALE);
  }

  private async metrics(): Promise<string[]> {
    const keys = (await this.rows(ql.FIELD_KEYS)).flatMap(({ values }) => values.map(([key]) => String(key)));
    return keys.filter((key) => key !== ql.RECEIVED);
  }

  private async rows(statements: string, signal?: AbortSignal): Promise<ResultRows[]> {
    const found: ResultRows[] = [];
    for await (const rows of this.ask(statements, signal)) found.push(rows);
    return found;
  }

  private ask(statements: string, left?: AbortSignal): AsyncGenerator<ResultRows> {
    const signal = left ? AbortSignal.any([this.closing.signal, left]) : this.closing.signal;
    return ask(this.address, statements, { timeoutMs: this.readTimeoutMs, signal });
  }

  /** Does work that calls the server, and tells `connection` how it went. */
  private async told<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.refuseClosed();
    if (this.calls >= MAX_CALLS) throw new StoreUnavailable(`${MAX_CALLS} calls wait for InfluxDB`);
    this.calls += 1;
    try {
      const done = await work();
      this.connection.worked();
      return done;
    } catch (error) {
      // An abort by the caller says nothing about the server.
      signal?.throwIfAborted();
      if (error instanceof StoreUnavailable) this.connection.failed(error);
      else if (error instanceof StoreRejected) this.connection.worked();
      throw error;
    } finally {
      this.calls -= 1;
    }
  }

  /** As `told`, for reads: `close` and `signal` break them off. They reject with Closed, or the signal's reason. */
  private async read<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await this.told(work, signal);
    } catch (error) {
      this.refuseClosed();
      throw error;
    }
  }

  private refuseClosed(): void {
    if (this.closing.signal.aborted) throw new Closed('the store');
  }
}

/** Joins the answers to statements that come in pairs: all but the means, then the means, each to be multiplied by `scale`. */
function toBuckets(found: readonly ResultRows[], scale: number): HistoryBucket[] {
  const rowsOf = (odd: number) =>
    found.filter(({ statement }) => statement % 2 === odd).flatMap(({ values }) => values);
  const means = new Map(rowsOf(1).map(([at, mean]) => [at, Number(mean) * scale]));
  return rowsOf(0).flatMap(([at, last, min, max, count, received]) => {
    const mean = means.get(at);
    // Without a last value it has other metrics only; without a mean it was deleted between the two statements.
    if (last === null || mean === undefined) return [];
    return [
      {
        ts: instantOfMicros(Number(at)),
        last: Number(last),
        min: Number(min),
        max: Number(max),
        mean,
        count: Number(count),
        received: Number(received),
      },
    ];
  });
}
