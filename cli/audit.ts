import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { clock } from '../core/clock.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { readPromises } from '../simulators/load/acknowledged-readings.ts';
import { readInstant } from '../telemetry/clock.ts';
import { Api } from './api.ts';
import { type Audit, type AuditedPromise, compare, type Stored } from './audit-compare.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print } from './output.ts';

/**
 * `loam audit FILE`: compares the acknowledged readings that a load test wrote down with what a running Loam has
 * stored.
 * Exits with 0 when every reading is stored once, with 1 when one is missing or stored twice.
 */
export async function auditCommand(file: string, options: Options): Promise<void> {
  const api = await Api.open(settingsOf(options));
  const from = since(text(options, 'since'), clock.now());
  const audit = await compare(youngerThan(readPromises(file), from), (farm, sensor, begin, end) =>
    storedSeqs(api, farm, sensor, begin, end),
  );
  print(options.json === true ? `${JSON.stringify(audit)}\n` : report(audit));
  process.exitCode = audit.missing === 0 && audit.duplicates === 0 ? 0 : 1;
}

/**
 * The time, Unix ms, that `--since` means: an ISO 8601 time, Unix ms, or a span before `now` such as `10m`, `2h`, `3d`.
 * Throws ConfigInvalid.
 */
export function since(given: string | undefined, now: number): number {
  if (given === undefined) return 0;
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(given) ?? [];
  if (count !== undefined && unit !== undefined) return now - Number(count) * (SPANS[unit] ?? 0);
  if (/^\d{12,14}$/.test(given)) return Number(given);
  const time = /^\d{4}-\d{2}-\d{2}/.test(given) ? Date.parse(given) : Number.NaN;
  if (Number.isFinite(time)) return time;
  const allowed = 'a time (2026-01-31T12:00Z), Unix ms, or a span such as 10m, 2h, 3d';
  throw new ConfigInvalid('--since', `--since: got ${JSON.stringify(given)}, allowed: ${allowed}`);
}

const SPANS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

async function* youngerThan(promises: AsyncIterable<AuditedPromise>, from: number): AsyncGenerator<AuditedPromise> {
  try {
    for await (const promised of promises) if (promised.ts >= from) yield promised;
  } catch (cause) {
    throw new ConfigInvalid('<promises>', `<promises>: ${explain(cause)}`, { cause });
  }
}

const instant = z.iso.datetime({ offset: true }).transform((text) => readInstant(text, 'UTC'));
const row = z.object({ measured: instant.pipe(z.number()), value: z.coerce.number() });

async function* storedSeqs(api: Api, farm: string, sensor: string, from: number, to: number): AsyncGenerator<Stored> {
  const query = new URLSearchParams({ sensor, metric: 'seq', from: String(from), to: String(to) });
  const body = await api.stream(`/api/farms/${encodeURIComponent(farm)}/export.csv?${query}`);
  const rows = Readable.from(body).pipe(parse({ columns: true, bom: true }));
  for await (const each of rows) {
    const { measured, value } = row.parse(each);
    yield { ts: measured, value };
  }
}

function report({ sensors, promised, found, missing, duplicates, unpromised, examples }: Audit): string {
  const lines = [
    `${promised} readings of ${sensors} sensors were acknowledged`,
    `${found} are stored with their time and number`,
    `${missing} are missing`,
    `${duplicates} are stored more than once`,
    `${unpromised} are stored although no acknowledgement was seen`,
    ...examples.map(
      (lost) => `missing: ${lost.farm}/${lost.sensor} number ${lost.seq} of ${new Date(lost.ts).toISOString()}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}
