import { z } from 'zod';
import type { InfluxServer } from '../../test/services/influx.ts';

/** How many readings a store shows from `from` on (Unix ms), and when it was seen to, ms of `performance.now()`. */
export interface Stored {
  readonly count: number;
  readonly at: number;
}

const counted = z.object({
  results: z.tuple([
    z.object({ series: z.tuple([z.object({ values: z.tuple([z.tuple([z.string(), z.number()])]) })]).optional() }),
  ]),
});

/** Asks InfluxDB itself, for the field that every reading has. */
export async function storedInInflux(server: InfluxServer, database: string, from: number): Promise<Stored> {
  const answer = counted.parse(
    await server.query(database, `SELECT COUNT(seq) FROM readings WHERE time >= ${Math.floor(from)}ms`),
  );
  return { count: answer.results[0].series?.[0].values[0][1] ?? 0, at: performance.now() };
}

/** Where a `loam up` answers, and how to be let in. */
export interface LoamAddress {
  /** `http://HOST:PORT` of the gateway. */
  readonly http: string;
  /** `HOST:PORT` for operators. */
  readonly ops: string;
  readonly token: string;
  readonly farm: string;
}

/** What `loam up` says it has written since it started. */
export async function writtenBy({ ops }: LoamAddress): Promise<Stored> {
  const text = await (await fetch(`http://${ops}/metrics`)).text();
  const figures = [...text.matchAll(/^loam_readings_written_total\{[^}]*\} (\d+)/gm)].map(([, figure]) =>
    Number(figure),
  );
  return { count: figures.reduce((sum, figure) => sum + figure, 0), at: performance.now() };
}

/** Counts the rows of an export of everything from `from` on: what anyone who asks is given. */
export async function exportedBy({ http, token, farm }: LoamAddress, from: number): Promise<number> {
  const query = new URLSearchParams({ metric: 'seq', from: `${from}`, to: `${Date.now() + 86_400_000}` });
  const answer = await fetch(`${http}/api/farms/${farm}/export.csv?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!answer.ok || !answer.body) throw new Error(`the export answers ${answer.status}`);
  let lines = 0;
  for await (const chunk of answer.body)
    lines += chunk.reduce((sum: number, byte: number) => sum + (byte === 10 ? 1 : 0), 0);
  // The first line names the columns.
  return lines - 1;
}
