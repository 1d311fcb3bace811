import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atEnd } from '../../test/services/cleanup.ts';
import { locate } from '../../test/services/install.ts';
import { output, ServerProcess } from '../../test/services/process.ts';
import { freePort, listening, temporaryFolder } from '../../test/services/wait.ts';

/** A Mosquitto of somebody's own. */
export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  close(): Promise<void>;
}

/** A Mosquitto of the caller's own: anonymous, in memory, without a limit to what is in flight or waits for a subscriber. */
export async function startMosquitto(): Promise<Mosquitto> {
  const place = await locate('mosquitto');
  if (place.kind !== 'program') throw new Error('Mosquitto is to be a program on this machine');
  const folder = await temporaryFolder();
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'set_tcp_nodelay true',
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  const log = join(folder, 'output.log');
  const server = new ServerProcess({ program: place.path, args: ['-c', config], env: process.env, log });
  const close = async () => {
    forget();
    await server.kill();
  };
  const forget = atEnd({ end: close, exit: () => server.endNow() });
  await server.start(() => listening(port), 10_000);
  return { url: `mqtt://127.0.0.1:${port}`, port, pid: server.pid, version: await versionOf(place.path), close };
}

/** `mosquitto -h` begins with its version, and exits with 3. */
async function versionOf(program: string): Promise<string> {
  const text = await output(program, ['-h']).catch((error: unknown) =>
    error instanceof Error && 'stdout' in error ? String(error.stdout) : '',
  );
  return /version (\S+)/.exec(text)?.[1] ?? 'unknown';
}
