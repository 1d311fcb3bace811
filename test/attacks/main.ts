import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { hashPassword, hashSecret } from '../../core/secrets.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { endAll } from '../services/cleanup.ts';
import { temporaryFolder } from '../services/wait.ts';

/**
 * What an attack costs, beside what it does to an honest sensor and an honest viewer: `npm run attacks -- [SECONDS]`. It
 * starts a Loam on loopback, makes each attack for SECONDS (10), and prints a table.
 */
const SECONDS = Number(process.argv[2] ?? 10);
const PASSWORD = 'correct horse battery';
const NAMES = [
  'none',
  'silent MQTT sockets',
  'silent HTTP sockets',
  'bodies that never come',
  'slow headers',
  'sign-in guessing',
  'ping floods',
  'refused CONNECT floods',
  'eight exports at once',
];
const cost = z.object({ connections: z.number(), bytes: z.number(), cpu: z.number() });
const frame = z.looseObject({
  type: z.string(),
  rows: z.array(z.tuple([z.string(), z.string(), z.number()], z.unknown())).optional(),
});

const folder = await temporaryFolder();
const hash = await hashPassword(PASSWORD);
await writeFile(
  join(folder, 'registry.yaml'),
  `farms:\n  - { id: north, name: North, timezone: UTC }\nfields:\n  - { id: f1, farm: north, name: Field }
sensors:\n  - { id: s1, farm: north, field: f1, secret: ${hashSecret('secret-s1')} }
users:\n  - { name: vera, password: ${hash}, farms: { north: viewer } }\n  - { name: eve, password: ${hash}, farms: { north: viewer } }\n`,
);
const env = { LOAM_DATA: folder, LOAM_DEMO: 'false', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0', LOAM_MQTT_PORT: '0' };
const loam = new LoamProcess(['up'], env);
const [, http = ''] = await loam.says(/Open http:\/\/127\.0\.0\.1:(\d+)/);
const [, port = ''] = await loam.says(/publish to 127\.0\.0\.1:(\d+)/);

async function cookieOf(user: string): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ user, password: PASSWORD });
  const answer = await fetch(`http://127.0.0.1:${http}/api/login`, { method: 'POST', headers, body });
  return answer.headers.get('set-cookie')?.split(';')[0] ?? '';
}

const cookie = await cookieOf('vera');
const evil = await cookieOf('eve');
const rows = [
  '| attack | connections/s | bytes/s | attacker’s CPU | PUBACK p50, p99 | frame p50, p99 | sensors that connect anew | sign-ins |',
];
rows.push('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const name of NAMES) rows.push(await under(name));
process.stdout.write(`${rows.join('\n')}\n`);
await loam.stop();
await endAll();
process.exit(0);

async function under(name: string): Promise<string> {
  const asSensor = { username: 's1', password: 'secret-s1', reconnectPeriod: 0, connectTimeout: 10_000 };
  const sensor = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { ...asSensor, clientId: 'honest' });
  const viewer = new WebSocket(`ws://127.0.0.1:${http}/ws`, ['loam.v1'], { headers: { cookie } });
  await once(viewer, 'open');
  const frames: number[] = [];
  viewer.on('message', (data) => {
    const { type, rows: news = [] } = frame.parse(JSON.parse(String(data)));
    if (type === 'readings') for (const [, , ts] of news) frames.push(Date.now() - ts);
  });
  viewer.send(JSON.stringify({ type: 'subscribe', id: 1, farm: 'north' }));
  const program = fileURLToPath(new URL('attacker.ts', import.meta.url));
  const loader = fileURLToPath(new URL('../services/typescript.js', import.meta.url));
  const attacker = spawn(process.execPath, ['--import', loader, program, name, port, http, evil]);
  let said = '';
  attacker.stdout.on('data', (part: Buffer) => {
    said += part.toString();
  });
  await delay(1_500);
  frames.length = 0;
  const pubacks: number[] = [];
  const end = performance.now() + SECONDS * 1_000;
  const entries = newcomers(asSensor, end);
  while (performance.now() < end) {
    const sent = performance.now();
    await sensor.publishAsync(telemetryTopic('north', 's1'), JSON.stringify({ ts: Date.now(), seq: sent }), { qos: 1 });
    pubacks.push(performance.now() - sent);
    await delay(20);
  }
  const { sensors, visitors } = await entries;
  attacker.stdin.end();
  await once(attacker, 'close');
  const { connections, bytes, cpu } = cost.parse(JSON.parse(said));
  sensor.end(true);
  viewer.terminate();
  const cells = [name, connections, bytes, `${cpu} %`, spread(pubacks), spread(frames), sensors, visitors];
  return `| ${cells.join(' | ')} |`;
}

/** A sensor that connects anew and somebody who signs in, again and again: how many of how many did. */
async function newcomers(options: mqtt.IClientOptions, end: number): Promise<{ sensors: string; visitors: string }> {
  let [tries, inside, signedIn] = [0, 0, 0];
  while (performance.now() < end) {
    tries++;
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options, false).catch(() => undefined);
    if (client) inside++;
    client?.end(true);
    if ((await cookieOf('vera').catch(() => '')) !== '') signedIn++;
    await delay(500);
  }
  return { sensors: `${inside} of ${tries}`, visitors: `${signedIn} of ${tries}` };
}

function spread(all: number[]): string {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(1) ?? '–';
  return `${at(0.5)}, ${at(0.99)} ms`;
}
