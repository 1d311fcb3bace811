import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { ID, METRIC_NAME } from '../telemetry/reading.ts';
import { encode } from './payloads.ts';
import type { Device, DeviceConnection } from './profile/devices.ts';
import type { Sending } from './profile/stream.ts';
import type { Script } from './run.ts';
import type { SimulatedValues } from './sensor.ts';

const MOST_READINGS = 2_000_000;

const moment = z.union([
  z.number(),
  z
    .string()
    .regex(/^\d{10,15}$/)
    .transform(Number),
  z.iso.datetime({ offset: true }).transform(Date.parse),
]);
const entry = z.object({
  sensor: z.string().regex(ID),
  ts: moment,
  values: z.record(z.string().regex(METRIC_NAME), z.number()),
});
const row = z.object({
  sensor: z.string().regex(ID),
  ts: moment,
  metric: z.string().regex(METRIC_NAME),
  value: z.string().min(1).transform(Number).pipe(z.number()),
});

export interface ReplayOptions {
  /** How many times faster than it was recorded. */
  readonly speed: number;
  readonly farm: string;
  /** `recorded`: the readings keep their times; `now`: they are moved as if the first of them were measured at the start. */
  readonly times: 'recorded' | 'now';
}

/**
 * A recording as a script: NDJSON (`{"sensor","ts","values":{…}}` a line) or CSV with the columns `sensor`, `metric`,
 * `value` and a time in `ts`, `time` or `measured` (Unix ms or ISO 8601 with its zone). Rows with the same sensor and
 * time are one reading. Rejects with ConfigInvalid, which names the line, for a line that cannot be read; with
 * ConfigInvalid for no reading or more than two million; with the system's error for a file that cannot be opened.
 */
export async function replayScript(path: string, { speed, farm, times }: ReplayOptions): Promise<Script> {
  await mustBeReadable(path);
  const bySensor = new Map<string, Map<number, Record<string, number>>>();
  let first = Number.POSITIVE_INFINITY;
  let count = 0;
  for await (const { sensor, ts, values } of /\.csv$/i.test(path) ? rowsOf(path) : linesOf(path)) {
    first = Math.min(first, ts);
    const own = bySensor.get(sensor) ?? new Map<number, Record<string, number>>();
    bySensor.set(sensor, own);
    if (!own.has(ts)) count += 1;
    own.set(ts, { ...own.get(ts), ...values });
    if (count > MOST_READINGS) throw wrong(path, `has more than ${MOST_READINGS} readings; split it`);
  }
  if (count === 0) throw wrong(path, 'has no reading in it');
  const recorded = new Map([...bySensor].map(([id, own]) => [id, [...own].sort(([a], [b]) => a - b)]));
  return {
    lines: [...recorded.keys()].map((id, index) => lineOf(id, index, farm)),
    sendingsOf: (device, start) => sendings(device, recorded.get(device.id) ?? [], { first, start, speed, times }),
  };
}

interface ReplayCourse {
  readonly first: number;
  readonly start: number;
  readonly speed: number;
  readonly times: ReplayOptions['times'];
}

function* sendings(
  { id, group }: Device,
  readings: readonly (readonly [ts: number, values: Record<string, number>])[],
  { first, start, speed, times }: ReplayCourse,
): Generator<Sending> {
  for (const [i, [ts, values]] of readings.entries()) {
    const measured: SimulatedValues = { ts: times === 'recorded' ? ts : start + (ts - first), values };
    const encoded = encode('native', { farm: group.farm, id, uplink: i + 1 }, [measured]);
    yield { at: (ts - first) / speed, ...encoded, qos: 1, seqs: [values.seq ?? i + 1], kind: 'reading' };
  }
}

function lineOf(id: string, index: number, farm: string): DeviceConnection {
  const group: DeviceConnection['group'] = {
    name: id,
    ids: [id],
    farm,
    fields: [],
    kind: 'all',
    interval: 60_000,
    jitter: 0,
    qos: 1,
    format: 'native',
    faults: [],
  };
  return { id, role: 'sensor', group, devices: [{ id, index, group, seed: 0, faults: [] }] };
}

async function* linesOf(path: string) {
  let at = 0;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    at += 1;
    if (line.trim() !== '') yield read(path, at, () => entry.parse(JSON.parse(line)));
  }
}

async function* rowsOf(path: string) {
  const parser = createReadStream(path).pipe(parse({ columns: true, bom: true, info: true, skip_empty_lines: true }));
  const rows: AsyncIterable<{ record: Record<string, string>; info: { lines: number } }> = parser;
  for await (const { record, info } of rows) {
    const { ts = record.time ?? record.measured } = record;
    const { sensor, metric, value, ts: time } = read(path, info.lines, () => row.parse({ ...record, ts }));
    yield { sensor, ts: time, values: { [metric]: value } };
  }
}

/** Rejects when the file cannot be opened: readline does not pass on the errors of its input. */
async function mustBeReadable(path: string): Promise<void> {
  const file = await open(path);
  try {
    if (!(await file.stat()).isFile()) throw wrong(path, 'is no file');
  } finally {
    await file.close();
  }
}

function read<T>(path: string, line: number, parsed: () => T): T {
  try {
    return parsed();
  } catch (cause) {
    const [issue] = cause instanceof z.ZodError ? cause.issues : [];
    const what = issue ? `${issue.path.map(String).join('.')}: ${issue.message}` : explain(cause);
    // The message says what is wrong. A `cause` in zod's own form would not help.
    throw wrong(`${path}:${line}`, what);
  }
}

function wrong(where: string, what: string): ConfigInvalid {
  return new ConfigInvalid('--replay', `--replay: ${where}: ${what}`);
}
