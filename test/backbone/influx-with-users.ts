import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atEnd } from '../services/cleanup.ts';
import { Container } from '../services/docker.ts';
import { locate } from '../services/install.ts';
import { ServerProcess } from '../services/process.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';

export interface GuardedInflux {
  readonly port: number;
  readonly password: string;
  /** Runs InfluxQL as the user `admin`. */
  query(q: string): Promise<void>;
}

/** Starts an InfluxDB that lets nobody in but its user `admin`. It ends with the test run. */
export async function startGuardedInflux(): Promise<GuardedInflux> {
  const place = await locate('influxdb');
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const password = "p@ss:word/ 'ü";
  const machine =
    place.kind === 'program'
      ? await onThisMachine(place.path, port)
      : new Container('-p', `127.0.0.1:${port}:8086`, '-e', 'INFLUXDB_HTTP_AUTH_ENABLED=true', place.image);
  atEnd({ end: async () => machine.endNow(), exit: () => machine.endNow() });
  await machine.start(async () => (await fetch(`${base}/ping`)).arrayBuffer(), 30_000);
  const query = async (q: string) => {
    const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
    const body = new URLSearchParams({ q });
    const answer = await fetch(`${base}/query`, { method: 'POST', headers: { authorization }, body });
    const text = await answer.text();
    if (!answer.ok || text.includes('"error"')) throw new Error(text);
  };
  await query(`CREATE USER admin WITH PASSWORD '${password.replace(/'/g, "\\'")}' WITH ALL PRIVILEGES`);
  return { port, password, query };
}

async function onThisMachine(program: string, port: number): Promise<ServerProcess> {
  const folder = await temporaryFolder();
  const config = join(folder, 'influxdb.conf');
  await writeFile(
    config,
    `
reporting-disabled = true
bind-address = "127.0.0.1:${await freePort()}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  auth-enabled = true
`,
  );
  return new ServerProcess({ program, args: ['-config', config], env: process.env, log: join(folder, 'output.log') });
}
