import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atEnd } from './cleanup.ts';
import { Container } from './docker.ts';
import { locate, named } from './install.ts';
import { ServerProcess } from './process.ts';
import { freePort, temporaryFolder } from './wait.ts';

/** An InfluxDB server for tests. */
export interface InfluxServer {
  /** `http://127.0.0.1:PORT` */
  url: string;
  port: number;
  version(): Promise<string>;
  /** Ends the server process in good order; its data stay. Resolves when the process is gone. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data. Resolves when it answers. */
  start(): Promise<void>;
  /** Ends it with SIGKILL, as a power cut would; its data stay. */
  kill(): Promise<void>;
  /** Ends it and deletes its folder. */
  close(): Promise<void>;
  /** `influx://127.0.0.1:PORT/DATABASE` */
  storeUrl(database: string): string;
  /** Asks InfluxQL over `/query` and resolves to the parsed answer; rejects when the server reports an error. */
  query(database: string, q: string): Promise<unknown>;
  createDatabase(name: string): Promise<void>;
}

interface Control {
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
  close(): Promise<void>;
}

const startTimeoutMs = 30_000;
const stopTimeoutMs = 30_000;

/** Starts a server of the caller's own. */
export async function startInflux(): Promise<InfluxServer> {
  const place = await locate('influxdb');
  const folder = await temporaryFolder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const ready = () => versionOf(url);
  const machine =
    place.kind === 'program'
      ? await privateServer(place.path, folder, port)
      : new Container('--publish', `127.0.0.1:${port}:8086`, place.image);

  const close = async () => {
    forget();
    await machine.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const forget = atEnd({ end: close, exit: () => machine.endNow() });
  await machine.start(ready, startTimeoutMs);
  return server(url, {
    start: () => machine.start(ready, startTimeoutMs),
    stop: () => machine.stop(stopTimeoutMs),
    kill: () => machine.kill(),
    close,
  });
}

let shared: Promise<InfluxServer> | undefined;

/** The server that all test files of a process share: the one LOAM_TEST_INFLUX_URL names, or a private one. */
export function influx(): Promise<InfluxServer> {
  shared ??= foreignInflux() ?? startInflux();
  return shared;
}

function foreignInflux(): Promise<InfluxServer> | undefined {
  const url = named('influxdb');
  if (url === undefined) {
    return undefined;
  }
  const refuse = () => Promise.reject(new Error('the server that LOAM_TEST_INFLUX_URL names is not ours to control'));
  return Promise.resolve(server(url, { start: refuse, stop: refuse, kill: refuse, close: async () => {} }));
}

function server(address: string, control: Control): InfluxServer {
  const url = new URL(address);
  const secure = url.protocol === 'https:';
  return {
    ...control,
    url: url.origin,
    port: Number(url.port || (secure ? 443 : 80)),
    version: () => versionOf(url.origin),
    storeUrl: (database) => `${secure ? 'influxs' : 'influx'}://${url.host}/${encodeURIComponent(database)}`,
    query: (database, q) => query(url.origin, database, q),
    createDatabase: async (name) => {
      await query(url.origin, '', `CREATE DATABASE "${name.replace(/["\\]/g, '\\$&')}"`);
    },
  };
}

async function versionOf(url: string): Promise<string> {
  const answer = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(5_000) });
  await answer.arrayBuffer();
  const version = answer.headers.get('x-influxdb-version');
  if (!answer.ok || version === null) {
    throw new Error(`${url}/ping answered ${answer.status} and no version`);
  }
  return version;
}

async function query(url: string, database: string, q: string): Promise<unknown> {
  const answer = await fetch(`${url}/query`, { method: 'POST', body: new URLSearchParams({ db: database, q }) });
  const body: unknown = await answer.json();
  const text = JSON.stringify(body);
  if (!answer.ok || hasError(body)) {
    throw new Error(`InfluxDB answered ${answer.status} to ${q}: ${text}`);
  }
  return body;
}

/** A query that fails is answered with status 200 and an error in one of the results. */
function hasError(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) {
    return true;
  }
  const results = 'results' in body && Array.isArray(body.results) ? body.results : [];
  return 'error' in body || results.some((result: unknown) => hasError(result));
}

async function privateServer(program: string, folder: string, port: number): Promise<ServerProcess> {
  const config = join(folder, 'influxdb.conf');
  await writeFile(config, configuration(folder, port, await freePort()));
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INFLUX'));
  return new ServerProcess({
    program,
    args: ['-config', config],
    env: { ...Object.fromEntries(inherited), HOME: folder },
    log: join(folder, 'output.log'),
  });
}

const configuration = (folder: string, port: number, rpcPort: number): string => `
reporting-disabled = true
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  log-enabled = false
  max-row-limit = 0
[logging]
  level = "warn"
  suppress-logo = true
`;
