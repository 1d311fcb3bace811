import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { HttpError, InfluxDB } from '@influxdata/influxdb-client';
import { explain, StoreRejected, StoreUnavailable, WriteTooLarge } from '../../core/errors.ts';
import { microsOf, msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { InfluxAddress } from './address.ts';
import { MEASUREMENT, RECEIVED } from './ql.ts';

/** Well below what a server takes in one request, even with 64 metrics in each reading. */
const MAX_READINGS = 5_000;
const MAX_SOCKETS = 32;

/**
 * Writes readings through the vendor's client, without its own buffering and retries: the caller holds what is not
 * written.
 */
export class InfluxWriter {
  private readonly address: InfluxAddress;
  private readonly path: string | undefined;
  private readonly timeoutMs: number;
  private readonly agent: HttpAgent;

  /** `version` is the server's: 1.x writes to a path of its own. */
  constructor(address: InfluxAddress, version: string, timeoutMs: number) {
    this.address = address;
    this.timeoutMs = timeoutMs;
    const database = encodeURIComponent(address.database);
    this.path = isVersion1(version) ? `/write?db=${database}&precision=u` : undefined;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.agent = address.base.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Resolves when the server has confirmed all. Rejects with StoreUnavailable, WriteTooLarge or StoreRejected; some may have been kept then. */
  async write(readings: readonly Reading[]): Promise<void> {
    for (let from = 0; from < readings.length; from += MAX_READINGS) {
      await this.send(readings.slice(from, from + MAX_READINGS), from);
    }
  }

  close(): void {
    this.agent.destroy();
  }

  private async send(readings: readonly Reading[], from: number): Promise<void> {
    // All lines are one record for the client, because it measures, copies and joins every record it is given.
    const lines = readings.map(toLine).join('\n');
    // A new client for each request: only through a client's options can a request that hangs be ended.
    const client = new InfluxDB({
      url: this.address.base,
      headers: { ...this.address.headers },
      timeout: this.timeoutMs,
      transportOptions: { agent: this.agent, signal: AbortSignal.timeout(this.timeoutMs) },
    });
    const api = client.getWriteApi(this.address.org, this.address.database, 'us', {
      // More than the one record, so that nothing is sent before `flush`, which rejects with the true error.
      batchSize: 2,
      maxBatchBytes: Number.MAX_SAFE_INTEGER,
      gzipThreshold: Number.MAX_SAFE_INTEGER,
      flushInterval: 0,
      maxRetries: 0,
      // Otherwise the client also prints the error.
      writeFailed: (error) => Promise.reject(error),
    });
    if (this.path !== undefined) api.path = this.path;
    try {
      api.writeRecord(lines);
      await api.flush();
    } catch (cause) {
      throw refusal(cause, readings, from);
    }
  }
}

/** Whether a version as `/ping` tells it, such as `1.6.7~rc0` or `v2.7.1`, is one of the first generation. */
export function isVersion1(version: string): boolean {
  return /^v?1\./.test(version);
}

/**
 * A reading in line protocol (https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/). Written out here because
 * the client's Point takes 2.4 times the CPU: 2.9 µs against 1.2 for a reading of four values. Names are storable ones: no backslash, no
 * control character.
 */
function toLine({ farm, sensor, ts, received, values }: Reading): string {
  let line = `${MEASUREMENT},farm=${escaped(farm)},sensor=${escaped(sensor)} `;
  for (const metric in values) line += `${escaped(metric)}=${values[metric]},`;
  return `${line}${RECEIVED}=${msOf(received)} ${microsOf(ts)}`;
}

const SPECIAL = /[,= ]/;

function escaped(name: string): string {
  return SPECIAL.test(name) ? name.replace(/[,= ]/g, '\\$&') : name;
}

// Refusals about the readings themselves. Every other one is about the server, its rights or its limits, and can pass.
const ABOUT_THE_READINGS = /partial write|unable to parse|field type conflict/;

function refusal(
  cause: unknown,
  readings: readonly Reading[],
  from: number,
): StoreRejected | StoreUnavailable | WriteTooLarge {
  if (!(cause instanceof HttpError)) return new StoreUnavailable(`InfluxDB: ${explain(cause)}`, { cause });
  const complaint = `${cause.message} ${cause.body ?? ''}`;
  if ([400, 422].includes(cause.statusCode) && ABOUT_THE_READINGS.test(complaint)) {
    const suspects = suspectsIn(complaint, readings, from);
    return new StoreRejected(`InfluxDB refuses readings: ${explain(cause)}`, { cause, suspects });
  }
  const answered = `InfluxDB answered ${cause.statusCode} to a write: ${explain(cause)}`;
  if (cause.statusCode === 413) return new WriteTooLarge(answered, { cause });
  const retryAfterMs = cause.retryAfter();
  return new StoreUnavailable(answered, { cause, retryAfterMs: retryAfterMs > 0 ? retryAfterMs : undefined });
}

/** For a conflict of types the server names the field, not the line: every reading with that metric is a suspect. */
function suspectsIn(complaint: string, readings: readonly Reading[], from: number): number[] | undefined {
  const metric = /input field \\?"([^"\\]+)\\?"/.exec(complaint)?.[1];
  if (metric === undefined) return undefined;
  const places = readings.flatMap((reading, place) => (Object.hasOwn(reading.values, metric) ? [from + place] : []));
  return places.length > 0 ? places : undefined;
}
