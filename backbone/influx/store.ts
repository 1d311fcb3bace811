import { Closed, ConfigInvalid, StoreRejected, StoreUnavailable, WriteRefused } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { dayEdges, dayRuns } from '../../telemetry/calendar.ts';
import { instantOfMicros, msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { Days, ExportQuery, HistoryBucket, HistoryQuery, LatestValue, Store } from '../ports/store.ts';
import { isMetric, isName, refuseUnstorable, refuseWidth, storable, type TimeRange } from '../ports/store-checks.ts';
import { type InfluxAddress, parseInfluxUrl } from './address.ts';
import { DatabaseMissing } from './answers.ts';
import { InfluxDatabase } from './database.ts';
import { historyOf } from './history.ts';
import { query as ask, generationOf, type InfluxGeneration, type ResultRows, versionOf } from './http.ts';
import { newestOf } from './newest.ts';
import { ObservedConnection, type ServerCall } from './observed-connection.ts';
import { inParts } from './parts.ts';
import * as ql from './ql.ts';
import { InfluxWriter } from './write.ts';

export interface InfluxOptions {
  /** How long one request of a write may take: 10 s unless told. */
  readonly writeTimeoutMs?: number;
  /** How long the server may stay silent while it is asked something: 30 s unless told. */
  readonly readTimeoutMs?: number;
  /** How often a server that is down is tried: every 2 s unless told. */
  readonly probeEveryMs?: number;
  readonly log?: Logger | undefined;
}

type InfluxLimits = Required<Omit<InfluxOptions, 'log'>> & Pick<InfluxOptions, 'log'>;

/**
 * Opens a database of an InfluxDB 1.x; it is made when it is missing, now or later, and the user has the right to:
 * `influx://[user:password@]host:port/DATABASE`, or `influxs://…` for TLS.
 * For 2.x or 3.x: `influx://host:port/BUCKET?org=ORG&token=TOKEN`; the bucket has to exist (3.x makes it at the first
 * write).
 *
 * Rejects with StoreUnavailable when the server cannot be reached or the database cannot be used, with ConfigInvalid
 * for a wrong address, or one that lacks what this server needs.
 *
 * A reading is a point of the measurement `readings`, with the tags `farm` and `sensor` and one float field per metric.
 * Its time is its instant, to the microsecond.
 * Its receipt is a field of the point too: when a point was written in parts, all its values have the latest receipt.
 */
export async function openInfluxStore(url: string, options: InfluxOptions = {}): Promise<Store> {
  const address = parseInfluxUrl(url);
  const limits = { writeTimeoutMs: 10_000, readTimeoutMs: 30_000, probeEveryMs: 2_000, ...options };
  const generation = generationOf(await versionOf(address, limits.writeTimeoutMs));
  if (generation === 2 && address.org === '') {
    const wanted = 'influx://HOST:PORT/BUCKET?org=ORG&token=TOKEN';
    throw new ConfigInvalid('LOAM_STORE', `LOAM_STORE: InfluxDB 2 needs org=, its organization: ${wanted}`);
  }
  const database = new InfluxDatabase(address, generation, limits.readTimeoutMs);
  await database.ensure();
  return new InfluxStore(address, database, generation, limits);
}

/** Most calls that wait. A server with more is too slow to catch up, and more calls would only fill memory. */
const MAX_CALLS = 1_000;

const DATABASE_MADE =
  'the database was not there any more and was made again: it is empty, and keeps what it gets for ever';

/**
 * The store over HTTP requests, each on its own: there is no connection to lose. `ObservedConnection` tells the
 * server's state. `close` waits for writes under way and breaks off reads.
 */
class InfluxStore implements Store {
  private readonly address: InfluxAddress;
  private readonly generation: InfluxGeneration;
  private readonly writer: InfluxWriter;
  private readonly readTimeoutMs: number;
  private readonly connection: ObservedConnection;
  private readonly writes = new Set<Promise<void>>();
  private readonly closing = new AbortController();
  private calls = 0;
  private closed: Promise<void> | undefined;

  constructor(address: InfluxAddress, database: InfluxDatabase, generation: InfluxGeneration, limits: InfluxLimits) {
    this.address = address;
    this.generation = generation;
    this.writer = new InfluxWriter(address, generation, limits.writeTimeoutMs);
    this.readTimeoutMs = limits.readTimeoutMs;
    this.connection = new ObservedConnection(async () => {
      const isMade = await database.mend(() => this.rows([ql.FIELD_KEYS]));
      if (isMade) limits.log?.warn({ event: 'store_database_made' }, DATABASE_MADE);
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
    const written = this.told('write', () => this.writer.write(readings));
    this.writes.add(written);
    try {
      await written;
    } finally {
      this.writes.delete(written);
    }
  }

  latest(farm: string, sensors?: readonly string[]): Promise<LatestValue[]> {
    return this.read(async () => {
      const metrics = await this.metrics();
      if (metrics.length === 0 || !isName(farm)) return [];
      const known = await this.sensors(farm, sensors);
      return known?.size === 0 ? [] : await newestOf((statements) => this.ask(statements), farm, metrics, known);
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
      const ask = (statements: readonly string[]) => this.ask(statements, signal);
      return cuts.length === 0 ? [] : await historyOf(asked, cuts, { ask, divides: this.generation === 3 });
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
    const asked = { ...query, sensors };
    const points = inParts(range, (part) => this.ask([ql.points(asked, metrics, part)], signal));
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
    const first = await this.end(query, 'first', signal);
    const last = first === undefined ? undefined : await this.end(query, 'last', signal);
    if (first === undefined || last === undefined) return [];
    const held: TimeRange = { from: first, to: last + 1 };
    return ql.cutsOf(dayRuns(dayEdges(daysIn, held.from, held.to, days)), held);
  }

  /** When the first or the last value of a range was measured, ms. */
  private async end(query: HistoryQuery, which: 'first' | 'last', signal?: AbortSignal): Promise<number | undefined> {
    const ask = (range: TimeRange) => this.ask([ql.end(query, which, range)], signal);
    for await (const { values } of inParts(query, ask, which === 'first' ? 'oldest' : 'newest')) {
      for (const [at] of values) return msOf(instantOfMicros(Number(at)));
    }
    return undefined;
  }

  private async metrics(): Promise<string[]> {
    const keys = (await this.rows([ql.FIELD_KEYS])).flatMap(({ values }) => values.map(([key]) => String(key)));
    return keys.filter((key) => key !== ql.RECEIVED);
  }

  /** The sensors of a farm; undefined when nobody knows. InfluxDB 3 has no index of them: there the registry's are all that are looked for. */
  private async sensors(farm: string, known?: readonly string[]): Promise<Set<string> | undefined> {
    if (this.generation === 3) return known && known.length > 0 ? new Set(known.filter(isName)) : undefined;
    const rows = await this.rows([ql.sensorsOf(farm)]);
    return new Set(rows.flatMap(({ values }) => values.map(([, sensor]) => String(sensor))));
  }

  private async rows(statements: readonly string[], signal?: AbortSignal): Promise<ResultRows[]> {
    const found: ResultRows[] = [];
    for await (const rows of this.ask(statements, signal)) found.push(rows);
    return found;
  }

  private async *ask(statements: readonly string[], left?: AbortSignal): AsyncGenerator<ResultRows> {
    const signal = left ? AbortSignal.any([this.closing.signal, left]) : this.closing.signal;
    const oneByOne = this.generation === 3;
    try {
      yield* ask(this.address, statements, { timeoutMs: this.readTimeoutMs, signal, oneByOne });
    } catch (error) {
      // 3.x has no database before the first write.
      if (this.generation !== 3 || !(error instanceof DatabaseMissing)) throw error;
    }
  }

  /** Does work that calls the server, and tells `connection` how it went. */
  private async told<T>(call: ServerCall, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.refuseClosed();
    if (this.calls >= MAX_CALLS) throw new StoreUnavailable(`${MAX_CALLS} calls wait for InfluxDB`);
    this.calls += 1;
    try {
      const done = await work();
      this.connection.worked(call);
      return done;
    } catch (error) {
      // An abort by the caller says nothing about the server.
      signal?.throwIfAborted();
      if (error instanceof StoreUnavailable) this.connection.failed(error, call);
      else if (error instanceof StoreRejected || error instanceof WriteRefused) this.connection.worked(call);
      throw error;
    } finally {
      this.calls -= 1;
    }
  }

  /** As `told`, for reads: `close` and `signal` break them off. They reject with Closed, or the signal's reason. */
  private async read<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await this.told('read', work, signal);
    } catch (error) {
      this.refuseClosed();
      throw error;
    }
  }

  private refuseClosed(): void {
    if (this.closing.signal.aborted) throw new Closed('the store');
  }
}
