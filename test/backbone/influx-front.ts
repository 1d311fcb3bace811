import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { atEnd } from '../services/cleanup.ts';
import type { InfluxServer } from '../services/influx.ts';

/** How a front differs from the InfluxDB 1 behind it. */
export interface FrontManners {
  /** What `/ping` says; `inBody` is how 3.0 does it. */
  readonly version: string;
  readonly inBody?: boolean;
  /** Widest span of readings that one query may look at, ms. */
  readonly mostMs?: number;
}

export interface InfluxFront {
  /** `influx://127.0.0.1:PORT/DATABASE?org=loam&token=t` */
  storeUrl(database: string): string;
  readonly port: number;
  /** As `LOAM_TEST_INFLUX2_URL` gives it. */
  readonly address: string;
  /** Statements of the queries that were asked so far. */
  readonly asked: string[];
  close(): Promise<void>;
}

/**
 * An HTTP server that answers as InfluxDB 2 or 3 does where those differ from 1, which answers all the rest behind it.
 *
 * 2: `/api/v2/write` wants `org` and `bucket`, and the token (https://docs.influxdata.com/influxdb/v2/api/#operation/PostWrite); a write that
 * is kept in part is answered with 422 (https://docs.influxdata.com/influxdb/v2/write-data/troubleshoot/).
 *
 * 3: as 2, but `org` is not wanted; a query is one statement, "must provide only one InfluxQl statement per query", and one over too many
 * files is refused (https://docs.influxdata.com/influxdb3/core/reference/config-options/#query-file-limit, 432 files of ten minutes); a
 * write that is kept in part is answered with 400 and its lines (https://docs.influxdata.com/influxdb3/core/write-data/troubleshoot/).
 */
export async function startFront(behind: InfluxServer, manners: FrontManners): Promise<InfluxFront> {
  const is3 = manners.version.startsWith('3');
  const asked: string[] = [];

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://front');
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces).toString();
    const say = (status: number, said: object) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(said));
    };
    const done = (headers: Record<string, string>) => {
      response.writeHead(204, headers).end();
    };
    if (url.pathname === '/ping') {
      if (!manners.inBody) return done({ 'x-influxdb-version': manners.version });
      return say(200, { version: manners.version, revision: 'x' });
    }
    if (request.headers.authorization !== 'Token t')
      return say(401, { code: 'unauthorized', message: 'unauthorized access' });
    if (url.pathname === '/api/v2/write') {
      const { searchParams: given } = url;
      if (!is3 && !given.get('org'))
        return say(400, { code: 'invalid', message: 'Please provide either orgID or org' });
      const precision = given.get('precision') === 'us' ? 'u' : (given.get('precision') ?? 'ns');
      const path = `/write?db=${encodeURIComponent(given.get('bucket') ?? '')}&precision=${precision}`;
      if (is3) await behind.createDatabase(given.get('bucket') ?? '');
      const written = await fetch(`${behind.url}${path}`, { method: 'POST', body });
      if (written.status === 204) return done({});
      const { error }: { error: string } = JSON.parse(await written.text());
      if (is3 && error.includes('partial write')) {
        const message = `invalid column type for column 'kind', expected iox::column_type::field::string, got iox::column_type::field::float`;
        const lines = body.split('\n').map((line, i) => ({ line, number: i + 1 }));
        const refused = lines.filter(({ line }) => line.includes('kind='));
        const data = refused.map(({ line, number }) => ({
          original_line: line,
          line_number: number,
          error_message: message,
        }));
        return say(400, { error: 'partial write of line protocol occurred', data });
      }
      if (error.startsWith('partial write')) {
        return say(422, { code: 'unprocessable entity', message: `failure writing points to database: ${error}` });
      }
      return say(written.status, { code: 'internal error', message: error });
    }
    const administered = await administer(request.method ?? '', url, body);
    if (administered) return say(200, administered);
    if (url.pathname !== '/query') return say(404, { code: 'not found', message: 'path not found' });
    const q = new URLSearchParams(body).get('q') ?? '';
    asked.push(q);
    if (is3 && hasSeveral(q)) return say(400, { error: 'must provide only one InfluxQl statement per query' });
    if (manners.mostMs !== undefined && (await spanOf(q, url.searchParams.get('db') ?? '')) > manners.mostMs) {
      return say(500, { error: `External error: ${TOO_MANY_FILES}` });
    }
    const found = await fetch(`${behind.url}/query${url.search}`, { method: 'POST', body: new URLSearchParams({ q }) });
    response.writeHead(found.status, { 'content-type': 'application/json' });
    response.end(Buffer.from(await found.arrayBuffer()));
  }

  /** Buckets and databases are made and removed as the vendor's API does it; a bucket's id is its name. */
  async function administer(method: string, url: URL, body: string): Promise<object | undefined> {
    const [path, id] = [url.pathname, decodeURIComponent(url.pathname.split('/')[4] ?? '')];
    const given = (): { name?: string; db?: string } => JSON.parse(body);
    if (path === '/api/v2/orgs') return { orgs: [{ id: 'o' }] };
    if (method === 'POST' && path === '/api/v2/buckets') {
      await behind.createDatabase(given().name ?? '');
      return { id: given().name };
    }
    const removed = path.startsWith('/api/v2/buckets/') ? id : url.searchParams.get('db');
    if (method === 'POST' && path === '/api/v3/configure/database') return {};
    if (method !== 'DELETE' || !removed) return undefined;
    await behind.query('', `DROP DATABASE "${removed}"`);
    return {};
  }

  /** The time between the first and the last reading in the range of a SELECT, ms. */
  async function spanOf(q: string, database: string): Promise<number> {
    if (!q.startsWith('SELECT')) return 0;
    const range = /time >= (-?\d+)ms AND time < (-?\d+)ms/.exec(q);
    const where = range ? `WHERE time >= ${range[1]}ms AND time < ${range[2]}ms` : '';
    const ends = ['first', 'last'].map(async (end) => {
      const form = new URLSearchParams({
        db: database,
        epoch: 'ms',
        q: `SELECT ${end}(received) FROM readings ${where}`,
      });
      const told = JSON.stringify(await (await fetch(`${behind.url}/query`, { method: 'POST', body: form })).json());
      return Number(/"values":\[\[(\d+)/.exec(told)?.[1] ?? 0);
    });
    const [first = 0, last = 0] = await Promise.all(ends);
    return last - first;
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  // The tests' own work holds up both ends: an idle connection must not be closed while a request is on its way.
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('an HTTP server has an address with a port');
  const close = async () => {
    forget();
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  const forget = atEnd({ end: close, exit: () => {} });
  return {
    port: address.port,
    asked,
    address: `http://127.0.0.1:${address.port}?org=loam&token=t`,
    storeUrl: (database) =>
      `influx://127.0.0.1:${address.port}/${encodeURIComponent(database)}?token=t${is3 ? '' : '&org=loam'}`,
    close,
  };
}

const TOO_MANY_FILES =
  'Query would exceed file limit of 432 parquet files. Please specify a smaller time range for your query.';

function hasSeveral(q: string): boolean {
  return q.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '').includes(';');
}
