import { z } from 'zod';
import { clock } from '../core/clock.ts';
import { ApiRefused, ConfigInvalid, explain } from '../core/errors.ts';
import { pause } from '../core/timing.ts';
import { quote } from '../telemetry/formats/decoded.ts';
import type { Api } from './api.ts';
import type { ImportPlan, SensorColumn } from './import-plan.ts';
import { type CsvRow, refusedLine } from './import-rows.ts';

// A gateway that is not upgraded yet does not compare.
const importAnswer = z.object({
  accepted: z.number(),
  refused: z.array(refusedLine),
  overwritten: z.number().default(0),
  notCompared: z.number().default(0),
  unchanged: z.number().default(0),
  readings: z.array(z.tuple([z.number(), z.number(), z.record(z.string(), z.number())])).default([]),
});
export type ImportAnswer = z.infer<typeof importAnswer>;

/** Lines in one request. */
const CHUNK = 2_000;
/** Bytes of a request's rows, estimated; the gateway takes 1 MiB. */
const CHUNK_BYTES = 600_000;
/** Lines that wait for those of other sensors. */
const MOST_WAITING = 10_000;
const RETRY_MS = 2_000;
/** How long to retry while the gateway cannot take rows now, or is away. */
const MOST_WAIT_MS = 10 * 60_000;

export interface SenderParts {
  readonly api: Api;
  readonly plan: ImportPlan;
  /** Nothing is stored: the gateway only says what would be. */
  readonly isPreview: boolean;
  /** So many pieces are in the queue already: they are not sent again. */
  readonly skip: number;
  readonly onWait: (why: string) => void;
  /** `pieces` is how many were sent, with those that were skipped. */
  readonly onAnswer: (answer: ImportAnswer, sensor: string, pieces: number) => Promise<void>;
}

interface WaitingRows {
  rows: (readonly [line: number, ts: number, values: Readonly<Record<string, number>>])[];
  bytes: number;
}

/** Sends rows in pieces, those of each sensor by themselves. The same rows make the same pieces. */
export class ImportSender {
  private readonly parts: SenderParts;
  private readonly waiting = new Map<string, WaitingRows>();
  private count = 0;
  private pieces = 0;

  constructor(parts: SenderParts) {
    this.parts = parts;
  }

  /** Whether all of the file so far was sent before. */
  get isBehind(): boolean {
    return this.pieces < this.parts.skip;
  }

  async take([line, ts, values, sensor]: CsvRow): Promise<void> {
    const of = this.waiting.get(sensor) ?? { rows: [], bytes: 0 };
    this.waiting.set(sensor, of);
    of.rows.push([line, ts, values]);
    of.bytes += 40;
    for (const name of Object.keys(values)) of.bytes += 3 * name.length + 24;
    this.count++;
    if (of.rows.length >= CHUNK || of.bytes >= CHUNK_BYTES) await this.send(sensor, of);
    else if (this.count >= MOST_WAITING) await this.sendLargest();
  }

  async end(): Promise<void> {
    for (const [sensor, of] of this.waiting) await this.send(sensor, of);
  }

  private async sendLargest(): Promise<void> {
    const largest = [...this.waiting].reduce((a, b) => (b[1].rows.length > a[1].rows.length ? b : a));
    await this.send(...largest);
  }

  private async send(sensor: string, { rows }: WaitingRows): Promise<void> {
    this.waiting.delete(sensor);
    this.count -= rows.length;
    const isSent = this.isBehind;
    this.pieces++;
    if (isSent) return;
    const answer = await this.sendWithRetry(sensor, rows);
    await this.parts.onAnswer(answer, sensor, this.pieces);
  }

  /** Sends rows, and retries while the gateway cannot take them or is away. Rows that are sent twice are stored once. */
  private async sendWithRetry(sensor: string, rows: WaitingRows['rows']): Promise<ImportAnswer> {
    const { api, plan, isPreview, onWait } = this.parts;
    const path = `/api/farms/${encodeURIComponent(plan.farm)}/import`;
    const body = { sensor, units: unitsOf(plan, sensor), rows, ...(isPreview ? { preview: true } : {}) };
    const until = clock.passed() + MOST_WAIT_MS;
    for (;;) {
      try {
        return await api.call(path, importAnswer, { method: 'POST', body });
      } catch (error) {
        if (plan.named && error instanceof ApiRefused && error.problem === 'not-found')
          return unknownSensor(plan.named, sensor, rows);
        if (!isForNow(error) || clock.passed() > until) throw error;
        onWait(explain(error));
        await pause(RETRY_MS);
      }
    }
  }
}

function unitsOf({ columns, named, sensor: own }: ImportPlan, sensor: string): Record<string, string> {
  const of = columns.filter(
    (column) => column.sensor === sensor || (column.sensor === undefined && (named !== undefined || own === sensor)),
  );
  return Object.fromEntries(of.flatMap(({ metric, unit }) => (unit === undefined ? [] : [[metric, unit]])));
}

/** The farm's list also has sensors that nobody registered: their lines are refused. */
function unknownSensor({ name }: SensorColumn, sensor: string, rows: WaitingRows['rows']): ImportAnswer {
  const explanation = `${quote(sensor)} is no registered sensor of the farm`;
  const refused = rows.map(([line]) => ({ line, path: name, reason: 'unknown_sensor', explanation }));
  return { accepted: 0, refused, overwritten: 0, notCompared: 0, unchanged: 0, readings: [] };
}

/** Whether it may work soon: the gateway is busy, or starts anew. It was there when the import was planned. */
function isForNow(error: unknown): boolean {
  if (error instanceof ApiRefused) return [429, 502, 503, 504].includes(error.status);
  return (
    (error instanceof DOMException && error.name === 'TimeoutError') ||
    (error instanceof ConfigInvalid && error.setting === 'LOAM_URL')
  );
}
