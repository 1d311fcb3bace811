import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { temporaryFolder, until } from '../services/wait.ts';

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
  const added = await run(['sensor', 'add', 'gate-1', '--farm', 'demo', '--field', 'mill', '--name', 'Gate'], env);
  const [, secret = ''] = /password\s+(\S+)/.exec(added.stdout) ?? [];
  const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
  const sensor = await until('the new sensor connects', () =>
    connectAsync(`mqtt://${mqtt}`, {
      clientId: 'gate-1',
      username: 'gate-1',
      password: secret,
      reconnectPeriod: 0,
    }).catch(() => undefined),
  );
  // What a device with an old program may send.
  for (const payload of ['{"soil_moisture": 31.2', '{"soil_moisture": "wet"}'])
    await sensor.publishAsync('farms/demo/sensors/gate-1/telemetry', payload, { qos: 1 });
  await sensor.endAsync();
  return {
    url,
    password,
    stop: async () => {
      await loam.stop();
    },
  };
}
