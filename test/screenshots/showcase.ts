import { join } from 'node:path';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { temporaryFolder } from '../services/wait.ts';

const ADDRESS = /Open (http:\/\/[^/]+)/;

export interface Showcase {
  readonly url: string;
  readonly password: string;
  stop(): Promise<void>;
}

/** A running Loam with its demo farm, as a newcomer sees it. */
export async function showcase(): Promise<Showcase> {
  const password = 'correct horse battery';
  const env = {
    LOAM_DATA: join(await temporaryFolder(), 'data'),
    LOAM_MQTT_PORT: '0',
    LOAM_HTTP_PORT: '0',
    LOAM_OPS_PORT: '0',
  };
  const loam = new LoamProcess(['up'], env);
  const [, url = ''] = await loam.says(ADDRESS);
  const user = await run(['user', 'add', 'admin', '--role', 'admin', '--farm', '*'], env, `${password}\n`);
  if (user.code !== 0) throw new Error(user.stderr);
  await loam.says(/registry reloaded/);
  return {
    url,
    password,
    stop: async () => {
      await loam.stop();
    },
  };
}
