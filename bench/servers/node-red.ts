import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { atEnd } from '../../test/services/cleanup.ts';
import { ServerProcess } from '../../test/services/process.ts';
import { temporaryFolder } from '../../test/services/wait.ts';

const FOLDER = fileURLToPath(new URL('../peers/node-red/', import.meta.url));
const READY_MS = 60_000;

/** Installs Node-RED and its InfluxDB node from the lock file of their own, unless that was done since the file changed. They are no part of Loam. */
export async function installNodeRed(say: (progress: string) => void): Promise<void> {
  const changed = async (file: string) => (await stat(join(FOLDER, file)).catch(() => undefined))?.mtimeMs ?? 0;
  if ((await changed('node_modules/.package-lock.json')) > (await changed('package-lock.json'))) return;
  say('installing Node-RED');
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: FOLDER });
}

/**
 * Node-RED as it is mostly set up for this: MQTT in (QoS 1, everything under `farms/`), a function that makes a point of a native payload, and
 * InfluxDB out, one write a message. Resolves when it is connected to the MQTT broker.
 */
export async function startNodeRed(options: {
  readonly mqttPort: number;
  readonly influxPort: number;
  readonly database: string;
}): Promise<{ version: string; pid(): number; close(): Promise<void> }> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'flows.json'), JSON.stringify(flows(options)));
  await writeFile(
    join(folder, 'settings.js'),
    `module.exports = ${JSON.stringify({
      flowFile: 'flows.json',
      uiHost: '127.0.0.1',
      uiPort: 0,
      httpAdminRoot: false,
      httpNodeRoot: false,
      credentialSecret: false,
      logging: { console: { level: 'info', metrics: false, audit: false } },
    })};\n`,
  );
  const log = join(folder, 'output.log');
  const server = new ServerProcess({
    program: process.execPath,
    args: [join(FOLDER, 'node_modules/node-red/red.js'), '--userDir', folder],
    env: { ...process.env, HOME: folder },
    log,
  });
  const close = async () => {
    forget();
    await server.kill();
  };
  const forget = atEnd({ end: close, exit: () => server.endNow() });
  await server.start(async () => {
    if (!/Connected to broker/.test(await readFile(log, 'utf8'))) throw new Error('not connected to the broker yet');
  }, READY_MS);
  const manifest = await readFile(join(FOLDER, 'node_modules/node-red/package.json'), 'utf8');
  return {
    version: z.object({ version: z.string() }).parse(JSON.parse(manifest)).version,
    pid: () => server.pid,
    close,
  };
}

function flows({
  mqttPort,
  influxPort,
  database,
}: {
  mqttPort: number;
  influxPort: number;
  database: string;
}): object[] {
  const at = { z: 'flow', x: 100, y: 100 };
  return [
    { id: 'flow', type: 'tab', label: 'readings' },
    {
      id: 'broker',
      type: 'mqtt-broker',
      broker: '127.0.0.1',
      port: mqttPort,
      protocolVersion: '4',
      keepalive: 60,
      cleansession: true,
    },
    {
      id: 'influx',
      type: 'influxdb',
      hostname: '127.0.0.1',
      port: influxPort,
      protocol: 'http',
      database,
      influxdbVersion: '1.x',
    },
    {
      id: 'in',
      type: 'mqtt in',
      ...at,
      broker: 'broker',
      topic: 'farms/#',
      qos: '1',
      datatype: 'json',
      wires: [['point']],
    },
    { id: 'point', type: 'function', ...at, func: POINT, outputs: 1, wires: [['out']] },
    { id: 'out', type: 'influxdb out', ...at, influxdb: 'influx', measurement: 'readings', precision: 'ms', wires: [] },
  ];
}

const POINT = `const [, farm, , sensor] = msg.topic.split('/');
msg.payload = [{ ...msg.payload.values, time: msg.payload.ts }, { farm, sensor }];
return msg;`;
