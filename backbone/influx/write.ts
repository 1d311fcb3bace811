import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { InfluxDB } from '@influxdata/influxdb-client';
import { clock } from '../../core/clock.ts';
import { type LoamError, StoreUnavailable, WriteRefused } from '../../core/errors.ts';
import { microsOf, msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { InfluxAddress } from './address.ts';
import { ServerRefusal } from './answers.ts';
import type { InfluxGeneration } from './http.ts';
import { MEASUREMENT, RECEIVED } from './ql.ts';
import { refusedWrite } from './write-refusals.ts';

/** Well below what a server takes in one request, even with 64 metrics in each reading. */
const MAX_READINGS = 5_000;
const MAX_SOCKETS = 32;
/** Where points are written that only try whether the server takes any: one a minute at most, and only after failures. */
export const CHECK = 'loam-check';
const CHECK_EVERY_MS = 60_000;

/**
 * Writes readings through the vendor's client, without its own buffering and retries: the caller holds what is not
 * written.
 */
export class InfluxWriter {
  private readonly address: InfluxAddress;
  private readonly path: string | undefined;
  private readonly timeoutMs: number;
  private readonly agent: HttpAgent;

  /** 1.x writes to a path of its own. */
  constructor(address: InfluxAddress, generation: InfluxGeneration, timeoutMs: number) {
    this.address = address;
    this.timeoutMs = timeoutMs;
    const database = encodeURIComponent(address.database);
    this.path = generation === 1 ? `/write?db=${database}&precision=u` : undefined;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.agent = address.base.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /**
   * Resolves when the server has confirmed all. Rejects with StoreUnavailable, WriteTooLarge, StoreRejected, or, when the server takes
   * other points and does not say why it refuses these, WriteRefused; some may have been kept then.
   */
  async write(readings: readonly Reading[]): Promise<void> {
    for (let from = 0; from < readings.length; from += MAX_READINGS) {
      const part = readings.slice(from, from + MAX_READINGS);
      try {
        // All lines are one record for the client, because it measures, copies and joins every record it is given.
        await this.send(part.map(toLine).join('\n'));
      } catch (cause) {
        const refusal = refusedWrite(this.address, cause, part, from);
        if (refusal instanceof WriteRefused) await this.check();
        throw refusal;
      }
    }
  }

  /** Writes a point that is no reading. Resolves when the server has confirmed it; rejects with StoreUnavailable. */
  async check(): Promise<void> {
    const minute = Math.floor(clock.now() / CHECK_EVERY_MS) * CHECK_EVERY_MS;
    try {
      await this.send(`${CHECK} ok=1 ${minute * 1_000}`);
    } catch (cause) {
      throw asOutage(refusedWrite(this.address, cause, [], 0));
    }
  }

  close(): void {
    this.agent.destroy();
  }

  private async send(lines: string): Promise<void> {
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
    api.writeRecord(lines);
    await api.flush();
  }
}

/** A server that refuses a point that is not anybody's takes none. */
function asOutage(refusal: LoamError): StoreUnavailable {
  if (refusal instanceof StoreUnavailable) return refusal;
  return new ServerRefusal(`InfluxDB takes nothing: ${refusal.message}`, { cause: refusal });
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
