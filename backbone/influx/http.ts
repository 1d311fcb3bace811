import { z } from 'zod';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import type { InfluxAddress } from './address.ts';
import { refusedRequest, refusedStatement } from './answers.ts';

/** Some rows of one series in the result of one statement. A large result comes in many of these. */
export interface ResultRows {
  /** Which of the query's statements, from 0. */
  readonly statement: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

/** The server could not encode its answer, because a number in it is infinite. */
export class InfiniteNumber extends StoreUnavailable {}

const CHUNK_ROWS = 2_000;
// Longest line of an answer, in characters: enough for one chunk of a farm with a thousand metrics.
const MAX_LINE = 64 * 1024 * 1024;

const line = z.object({
  error: z.string().optional(),
  results: z
    .array(
      z.object({
        statement_id: z.number().default(0),
        error: z.string().optional(),
        series: z
          .array(
            z.object({
              tags: z.record(z.string(), z.string()).default({}),
              columns: z.array(z.string()),
              values: z.array(z.custom<unknown[]>(Array.isArray)).default([]),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
});

/** Which of the three InfluxDBs a server is: they differ in what they are asked and how. */
export type InfluxGeneration = 1 | 2 | 3;

const pong = z.object({ version: z.string() });

/**
 * The server's version, such as `1.6.7~rc0` or `v2.7.1`, as `/ping` tells it: in a header, and on 3.0 in the body only.
 * Rejects with StoreUnavailable.
 */
export async function versionOf(address: InfluxAddress, timeoutMs: number): Promise<string> {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await fetch(`${address.base}/ping`, { headers: address.headers, signal });
    const body = (await answer.text()).slice(0, 10_000);
    if (!answer.ok) throw refusedRequest(address, { to: 'query', status: answer.status, body });
    const version = answer.headers.get('x-influxdb-version') ?? (body === '' ? undefined : versionIn(body));
    if (version === undefined) throw new Error(`/ping answered ${answer.status} and no version`);
    return version;
  } catch (cause) {
    if (cause instanceof StoreUnavailable) throw cause;
    throw new StoreUnavailable(`InfluxDB at ${address.base} cannot be reached: ${explain(cause)}`, { cause });
  }
}

function versionIn(body: string): string | undefined {
  const told = pong.safeParse(parse(body));
  return told.success ? told.data.version : undefined;
}

/** What is not known is asked as the newest is: that is what all of them understand. */
export function generationOf(version: string): InfluxGeneration {
  if (/^v?[01]\./.test(version)) return 1;
  return /^v?2\./.test(version) ? 2 : 3;
}

export interface Asking {
  /** How long the server may be silent. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Whether each statement has to be a query of its own. */
  readonly oneByOne: boolean;
}

/** Runs InfluxQL statements as `queryOnce` does, in one query where the server takes several in one. */
export async function* query(
  address: InfluxAddress,
  statements: readonly string[],
  { timeoutMs, signal, oneByOne }: Asking,
): AsyncGenerator<ResultRows> {
  if (!oneByOne) return yield* queryOnce(address, statements.join('; '), { timeoutMs, signal });
  for (const [statement, q] of statements.entries()) {
    for await (const rows of queryOnce(address, q, { timeoutMs, signal })) yield { ...rows, statement };
  }
}

/**
 * Runs `q` (InfluxQL, any number of statements) and gives its rows as they arrive, times in microseconds. While the caller does
 * not take them the server waits. Leaving the loop, or aborting `signal`, ends the query. Throws StoreUnavailable when
 * the server is silent for `timeoutMs` at any point, and for every error that the server reports.
 */
async function* queryOnce(
  address: InfluxAddress,
  q: string,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): AsyncGenerator<ResultRows> {
  const silence = new AbortController();
  const stop = () => silence.abort(new Error('it was broken off'));
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  // Node's fetch does not always end a read of an answer when its signal is aborted: some such reads never settled at all.
  let leave = (_reason: unknown): void => undefined;
  silence.signal.addEventListener('abort', () => leave(silence.signal.reason), { once: true });
  const timely = async <T>(work: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => silence.abort(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    try {
      return await new Promise<T>((resolve, reject) => {
        leave = reject;
        if (silence.signal.aborted) reject(silence.signal.reason);
        work.then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    const answer = await timely(ask(address, q, silence.signal));
    for await (const text of lines(answer, timely)) yield* rowsIn(address, text);
  } catch (cause) {
    throw cause instanceof StoreUnavailable ? cause : new StoreUnavailable(`InfluxDB: ${explain(cause)}`, { cause });
  } finally {
    signal.removeEventListener('abort', stop);
    silence.abort();
  }
}

async function ask(address: InfluxAddress, q: string, signal: AbortSignal): Promise<Response> {
  const { base, database, headers } = address;
  const options = new URLSearchParams({ db: database, epoch: 'u', chunked: 'true', chunk_size: `${CHUNK_ROWS}` });
  const body = new URLSearchParams({ q });
  const answer = await fetch(`${base}/query?${options}`, { method: 'POST', headers, body, signal });
  if (answer.ok) return answer;
  const retryAfter = answer.headers.get('retry-after');
  throw refusedRequest(address, { to: 'query', status: answer.status, body: await answer.text(), retryAfter });
}

async function* lines(answer: Response, timely: <T>(work: Promise<T>) => Promise<T>): AsyncGenerator<string> {
  if (answer.body === null) return;
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let begun = '';
  try {
    for (let piece = await timely(reader.read()); !piece.done; piece = await timely(reader.read())) {
      const ended = `${begun}${decoder.decode(piece.value, { stream: true })}`.split('\n');
      begun = ended.pop() ?? '';
      if (begun.length > MAX_LINE) throw new Error('a line of its answer is too long');
      yield* ended;
    }
    yield begun;
  } finally {
    // Closes the connection if the answer has not ended: the server stops working at it.
    reader.cancel().catch(() => undefined);
  }
}

function* rowsIn(address: InfluxAddress, text: string): Generator<ResultRows> {
  if (text.trim() === '') return;
  const { error, results } = line.parse(parse(text));
  if (error !== undefined) throw refusedStatement(address, error);
  for (const { statement_id: statement, error, series } of results) {
    if (error !== undefined) throw refusedStatement(address, error);
    for (const rows of series) yield { statement, ...rows };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (/unsupported value: ([+-]Inf|NaN)/.test(text))
      throw new InfiniteNumber('InfluxDB: a number is infinite', { cause });
    throw cause;
  }
}
