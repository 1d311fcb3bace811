import { randomBytes, randomUUID } from 'node:crypto';
import { chown, readFile, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { atEnd } from './cleanup.ts';
import { Container } from './docker.ts';
import { locate, named } from './install.ts';
import { type Owner, output, ServerProcess } from './process.ts';
import { freePort, temporaryFolder, until } from './wait.ts';

/** A PostgreSQL server for tests. */
export interface PostgresServer {
  readonly port: number;
  /** Makes an empty database and resolves to its address: `postgres://USER:PASSWORD@127.0.0.1:PORT/NAME`. */
  createDatabase(options?: { encoding?: string }): Promise<string>;
  version(): Promise<string>;
  /** Ends the server in good order, and the connections with it; its data stay. Resolves when it is gone. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data. Resolves when it takes connections. */
  start(): Promise<void>;
  /** Ends all of it with SIGKILL; its data stay. */
  kill(): Promise<void>;
  /** SIGSTOP to all of it: connections stay, new ones are accepted by the kernel, and nothing is answered until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Ends it and deletes its folder. */
  close(): Promise<void>;
}

type Machine = Pick<PostgresServer, 'stop' | 'start' | 'kill' | 'freeze' | 'thaw'> & {
  end(): Promise<void>;
  endNow(): void;
};

const USER = 'tests';
const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;

export interface PostgresOptions {
  /** More lines of postgresql.conf, which win over the ones here. */
  readonly settings?: readonly string[];
  /** With a certificate it also speaks TLS; only an installed server does. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Starts a server of the caller's own. */
export async function startPostgres({ settings = [], tls }: PostgresOptions = {}): Promise<PostgresServer> {
  const place = await locate('postgres');
  const folder = await temporaryFolder();
  const port = await freePort();
  const password = randomBytes(12).toString('hex');
  const admin = `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`;
  const ready = () => versionOf(admin);
  const machine =
    place.kind === 'program'
      ? await privateServer(place.path, { folder, port, password, settings, tls }, ready)
      : containerServer(place.image, { port, password, settings }, ready);
  const close = async () => {
    forget();
    await machine.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const forget = atEnd({ end: close, exit: () => machine.endNow() });
  await machine.start();
  return server(admin, { ...machine, close });
}

let shared: Promise<PostgresServer> | undefined;

/** The server that all test files of a process share: the one LOAM_TEST_POSTGRES_URL names, or a private one. */
export function postgres(): Promise<PostgresServer> {
  shared ??= foreignPostgres() ?? startPostgres();
  return shared;
}

function foreignPostgres(): Promise<PostgresServer> | undefined {
  const url = named('postgres');
  if (url === undefined) return undefined;
  const refuse = () => Promise.reject(new Error('the server that LOAM_TEST_POSTGRES_URL names is not ours to control'));
  const control = { start: refuse, stop: refuse, kill: refuse, freeze: refuse, thaw: refuse, close: async () => {} };
  return Promise.resolve(server(url, control));
}

function server(admin: string, control: Omit<PostgresServer, 'port' | 'createDatabase' | 'version'>): PostgresServer {
  return {
    ...control,
    port: Number(new URL(admin).port || 5432),
    version: () => versionOf(admin),
    createDatabase: async ({ encoding = 'UTF8' } = {}) => {
      const name = `test_${randomUUID().replaceAll('-', '')}`;
      await sql(admin, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`);
      const url = new URL(admin);
      url.pathname = `/${name}`;
      return url.toString();
    },
  };
}

/** Runs statements over a connection of their own, and resolves to the rows of the last one. */
export async function sql(url: string, text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
  return await withClient(url, async (client) => {
    const answer: unknown = await client.query(text, values);
    const last: unknown = Array.isArray(answer) ? answer.at(-1) : answer;
    return hasRows(last) ? last.rows : [];
  });
}

function hasRows(answer: unknown): answer is { rows: Record<string, unknown>[] } {
  return typeof answer === 'object' && answer !== null && 'rows' in answer;
}

/** Runs `work` with a connection of its own, which is ended after it. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A server that goes away is seen by the query under way.
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

async function versionOf(url: string): Promise<string> {
  const [row] = await sql(url, 'SHOW server_version');
  return String(row?.server_version);
}

interface Plan {
  readonly folder: string;
  readonly port: number;
  readonly password: string;
  readonly settings: readonly string[];
  readonly tls: PostgresOptions['tls'];
}

async function privateServer(program: string, plan: Plan, ready: () => Promise<unknown>): Promise<Machine> {
  const { folder, port, password, settings, tls } = plan;
  const owner = await otherUser();
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG'))),
    HOME: folder,
    LC_ALL: 'C',
  };
  const data = join(folder, 'data');
  const secret = join(folder, 'password');
  await writeFile(secret, password);
  if (owner) await Promise.all([folder, secret].map((path) => chown(path, owner.uid, owner.gid)));
  const initdb = ['-D', data, '-U', USER, '--auth=scram-sha-256', `--pwfile=${secret}`, '-E', 'UTF8', '--no-locale'];
  await output(join(dirname(program), 'initdb'), [...initdb, '--no-sync'], env, owner);
  const lines = [
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${folder}'`,
    'shared_buffers = 32MB',
    // What a killed process wrote is in the kernel's hands; only a power cut would lose it.
    'fsync = off',
    ...settings,
  ];
  if (tls) {
    lines.push('ssl = on');
    for (const name of ['cert', 'key'] as const) {
      const file = join(data, `${name}.pem`);
      await writeFile(file, tls[name], { mode: 0o600 });
      if (owner) await chown(file, owner.uid, owner.gid);
      lines.push(`ssl_${name}_file = '${file}'`);
    }
  }
  await writeFile(join(data, 'postgresql.auto.conf'), lines.map((line) => `${line}\n`).join(''));
  const command = { program, args: ['-D', data], env, log: join(folder, 'output.log'), owner };
  // SIGTERM would wait until all clients have left.
  const main = new ServerProcess({ ...command, stopSignal: 'SIGINT' });
  const signalAll = async (signal: NodeJS.Signals) => {
    // The main process first, so that it does not start another one in the place of one that ended.
    for (const pid of [main.pid, ...(await childrenOf(main.pid))]) signalTo(pid, signal);
  };
  return {
    start: () => main.start(ready, startTimeoutMs),
    stop: () => main.stop(stopTimeoutMs),
    kill: async () => {
      const children = await childrenOf(main.pid);
      await signalAll('SIGKILL');
      await main.kill();
      await until('all processes of the server to be gone', async () =>
        (await Promise.all(children.map(isThere))).every((there) => !there),
      );
    },
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    end: async () => {
      if (main.running) await signalAll('SIGKILL');
      await main.kill();
    },
    endNow: () => main.endNow(),
  };
}

/** PostgreSQL does not run as root. Undefined: it runs as the tests do. */
async function otherUser(): Promise<Owner | undefined> {
  if (userInfo().uid !== 0) return undefined;
  const id = async (flag: string) =>
    Number(await output('id', [flag, 'postgres']).catch(() => output('id', [flag, 'nobody'])));
  return { uid: await id('-u'), gid: await id('-g') };
}

/** Its children lead process groups of their own. */
async function childrenOf(parent: number): Promise<number[]> {
  if (parent === 0) return [];
  // A small Debian has no ps.
  const told = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => undefined);
  if (told !== undefined) return told.split(' ').filter(Boolean).map(Number);
  const rows = (await output('ps', ['-A', '-o', 'pid=,ppid=']))
    .split('\n')
    .map((line) => line.trim().split(/ +/).map(Number));
  return rows.flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []));
}

/** Whether a process is there. One that has ended and that nobody has waited for, as in a container without an init, is not. */
async function isThere(pid: number): Promise<boolean> {
  if (!signalTo(pid, 0)) return false;
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !status.slice(status.lastIndexOf(')')).startsWith(') Z');
}

/** Whether there is such a process. */
function signalTo(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

function containerServer(image: string, plan: Omit<Plan, 'folder' | 'tls'>, ready: () => Promise<unknown>): Machine {
  const container = new Container(
    ...['--publish', `127.0.0.1:${plan.port}:5432`],
    ...['--env', `POSTGRES_USER=${USER}`, '--env', `POSTGRES_PASSWORD=${plan.password}`],
    ...['--env', 'POSTGRES_DB=postgres', image],
    ...['fsync=off', ...plan.settings.map((line) => line.replaceAll(/[ ']/g, ''))].flatMap((line) => ['-c', line]),
  );
  return {
    start: () => container.start(ready, startTimeoutMs),
    stop: () => container.stop(stopTimeoutMs),
    kill: () => container.kill(),
    freeze: () => container.pause(),
    thaw: () => container.unpause(),
    end: () => container.end(),
    endNow: () => container.endNow(),
  };
}
