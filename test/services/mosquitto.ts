import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atEnd } from './cleanup.ts';
import { locate } from './install.ts';
import { output, ServerProcess } from './process.ts';
import { freePort, listening, temporaryFolder } from './wait.ts';

/** A Mosquitto of the caller's own, on loopback. It keeps sessions and messages on disk, over `stop` and `start`. */
export interface MosquittoServer {
  readonly port: number;
  /** `mqtt://127.0.0.1:PORT`, or `mqtts:` with certificates. */
  readonly url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

const START_MS = 15_000;
const STOP_MS = 15_000;

/** Starts one. Anybody may connect unless `users` has passwords; with `tls` it speaks TLS, and with a CA asks for certificates. `lines` are more of its configuration. */
export async function startMosquitto(
  options: {
    users?: Readonly<Record<string, string>>;
    tls?: { cert: string; key: string; ca?: string };
    lines?: readonly string[];
  } = {},
): Promise<MosquittoServer> {
  const { users, tls, lines = [] } = options;
  const place = await locate('mosquitto');
  if (place.kind !== 'program') throw new Error('Mosquitto is to be a program on this machine');
  const folder = await temporaryFolder();
  const port = await freePort();
  const config = [
    `listener ${port} 127.0.0.1`,
    'persistence true',
    `persistence_location ${folder}/`,
    'set_tcp_nodelay true',
    ...(users
      ? ['allow_anonymous false', `password_file ${await passwordFile(folder, users)}`]
      : ['allow_anonymous true']),
    ...(tls ? [`certfile ${tls.cert}`, `keyfile ${tls.key}`] : []),
    ...(tls?.ca ? [`cafile ${tls.ca}`, 'require_certificate true'] : []),
    // As root it would become another user, who may not read the folder.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    ...lines,
  ];
  const path = join(folder, 'mosquitto.conf');
  await writeFile(path, `${config.join('\n')}\n`);
  const log = join(folder, 'output.log');
  const server = new ServerProcess({ program: place.path, args: ['-c', path], env: process.env, log });
  const close = async () => {
    forget();
    await server.kill();
  };
  const forget = atEnd({ end: close, exit: () => server.endNow() });
  const start = () => server.start(() => listening(port), START_MS);
  await start();
  return { port, url: `${tls ? 'mqtts' : 'mqtt'}://127.0.0.1:${port}`, start, stop: () => server.stop(STOP_MS), close };
}

async function passwordFile(folder: string, users: Readonly<Record<string, string>>): Promise<string> {
  const path = join(folder, 'passwords');
  await writeFile(
    path,
    Object.entries(users)
      .map(([name, password]) => `${name}:${password}\n`)
      .join(''),
    { mode: 0o600 },
  );
  // Hashes them in place.
  await output('mosquitto_passwd', ['-U', path]);
  return path;
}
