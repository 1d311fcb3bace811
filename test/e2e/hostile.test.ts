import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import WebSocket from 'ws';
import { z } from 'zod';
import { Api } from '../../cli/api.ts';
import { SUBPROTOCOL } from '../../client/messages.ts';
import { loadConfig } from '../../core/config.ts';
import { hashSecret } from '../../core/secrets.ts';
import { pause } from '../../core/timing.ts';
import { LiveClient } from '../gateway/harness.ts';
import { itIfLong } from '../services/length.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

const secretOf = (name: string) => name.padEnd(32, 's');

const REGISTRY = `farms:
  - { id: north, name: North farm, timezone: Europe/Berlin }
  - { id: south, name: South farm, timezone: Europe/Berlin }
sensors:
  - { id: hostile, farm: north, role: bridge, secret: ${hashSecret(secretOf('hostile'))} }
  - { id: hangs, farm: north, codec: codecs/hangs.js }
  - { id: network, farm: south, role: bridge, secret: ${hashSecret(secretOf('network'))} }
  - { id: honest, farm: south, secret: ${hashSecret(secretOf('honest'))} }
  - { id: coded, farm: south, codec: codecs/counts.js }
`;
const HANGS = 'function decodeUplink() { return { data: { n: [].indexOf.call({ length: 2 ** 53 - 1 }, 1) } }; }\n';
const COUNTS = 'function decodeUplink(input) { return { data: { n: input.bytes[0] } }; }\n';

const history = z.object({ rows: z.array(z.array(z.number())) });
const letters = z.object({ letters: z.array(z.object({ reason: z.string() })) });
const frames = z.array(z.object({ rows: z.array(z.array(z.union([z.string(), z.number()]))) }));

/** Texts and lists that take a careless pattern, or a careless loop, very long. */
const BOMBS = [
  JSON.stringify({ a: `${'1'.repeat(60_000)}${'x'.repeat(40)}` }),
  JSON.stringify({ a: `${'1 '.repeat(30_000)}!` }),
  JSON.stringify({ a: `1 ${'m'.repeat(60_000)}!` }),
  JSON.stringify({ a: `(${'('.repeat(30_000)}${')'.repeat(30_000)}` }),
  JSON.stringify({ ts: `${'2026-'.repeat(12_000)}!`, a: 1 }),
  `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
];

describe('while one farm sends what takes very long to read, with loam up', function () {
  this.timeout(180_000);
  let env: Record<string, string>;
  let folder: { data: string; url: string };
  let loam: LoamProcess;
  let api: Api;
  let port: number;
  const clients: MqttClient[] = [];

  before(async () => {
    const [httpPort, mqttPort] = [await freePort(), await freePort()];
    const data = join(await temporaryFolder(), 'data');
    await mkdir(join(data, 'codecs'), { recursive: true });
    await writeFile(join(data, 'registry.yaml'), REGISTRY);
    await writeFile(join(data, 'codecs', 'hangs.js'), HANGS);
    await writeFile(join(data, 'codecs', 'counts.js'), COUNTS);
    const url = `http://127.0.0.1:${httpPort}`;
    env = {
      LOAM_DATA: data,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: String(httpPort),
      LOAM_OPS_PORT: '0',
      LOAM_URL: url,
    };
    port = mqttPort;
    folder = { data, url };
  });

  beforeEach(async () => {
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
    api = await Api.open(loadConfig(folder, {}));
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) await client.endAsync(true);
    await loam.stop();
  });

  async function signedIn(username: string): Promise<MqttClient> {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
      username,
      password: secretOf(username),
      reconnectPeriod: 0,
    });
    clients.push(client);
    return client;
  }

  const uplink = (device: string, byte: number) =>
    JSON.stringify({
      deviceInfo: { devEui: device },
      time: new Date(Date.now() - byte).toISOString(),
      fPort: 1,
      data: Buffer.from([byte]).toString('base64'),
    });

  const stored = async (sensor: string) =>
    (await api.call(`/api/farms/south/history?sensor=${sensor}&metric=n&points=5000`, history)).rows.length;
  const setAside = async () =>
    (await api.call('/api/farms/north/dead-letters?limit=100', letters)).letters.map(({ reason }) => reason);

  it('others are acknowledged, stored and shown as always, and it ends in dead letters; also after a restart', async () => {
    const hostile = await signedIn('hostile');
    const honest = await signedIn('honest');
    const network = await signedIn('network');
    const { address, token } = api.live();
    const viewer = new LiveClient(
      new WebSocket(address, SUBPROTOCOL, { headers: { authorization: `Bearer ${token}` } }),
    );
    await until('the viewer is connected', () => viewer.socket.readyState === WebSocket.OPEN);
    viewer.say({ type: 'subscribe', id: 1, farm: 'south', fields: ['unassigned'] });
    await viewer.next('snapshot');

    const sent: Promise<unknown>[] = [];
    for (const bomb of BOMBS) sent.push(hostile.publishAsync('farms/north/sensors/plain/telemetry', bomb, { qos: 1 }));
    for (let i = 0; i < 30; i++) {
      sent.push(hostile.publishAsync('application/7/device/hangs/event/up', uplink('hangs', i), { qos: 1 }));
    }
    await Promise.all(sent);
    for (let n = 1; n <= 40; n++) {
      const reading = JSON.stringify({ ts: Date.now() - n, n });
      await honest.publishAsync('farms/south/sensors/honest/telemetry', reading, { qos: 1 });
    }
    await until('all of the honest one are stored', async () => (await stored('honest')) > 0);
    await until('the viewer sees the last one', () =>
      frames.parse(viewer.all('readings')).some(({ rows }) => rows.some(([sensor]) => sensor === 'honest')),
    );
    // The first of the hostile ones alone takes eleven seconds until it is given up.
    expect((await setAside()).filter((reason) => reason.startsWith('decoding_'))).to.deep.equal([]);
    await network.publishAsync('application/7/device/coded/event/up', uplink('coded', 7), { qos: 1 });
    await until('the one with a good codec is stored', async () => (await stored('coded')) > 0, { timeoutMs: 60_000 });

    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
    expect(await loam.stop('SIGKILL')).to.equal('SIGKILL');
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
    const again = await signedIn('honest');
    await again.publishAsync('farms/south/sensors/honest/telemetry', JSON.stringify({ n: 99 }), { qos: 1 });
    const hung = async () => (await setAside()).filter((reason) => reason.startsWith('decoding_'));
    await until(
      'all that hang are set aside',
      async () => new Set(await hung()).size > 0 && (await hung()).length >= 30,
      {
        timeoutMs: 120_000,
      },
    );
    expect(await loam.stop()).to.equal(0);
  });

  itIfLong(
    'a machine that is busy, or a process that is stopped for a while, makes no dead letter of anything',
    async () => {
      const honest = await signedIn('honest');
      const network = await signedIn('network');
      const before = (await api.call('/api/farms/south/dead-letters?state=all', letters)).letters.length;
      const busy = Array.from({ length: 6 }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
      const first = Date.now() - 3_600_000;
      try {
        for (let round = 0; round < 4; round++) {
          const sent: Promise<unknown>[] = [];
          for (let i = 0; i < 50; i++) {
            const items = Array.from({ length: 500 }, (_, k) => ({
              ts: first + (round * 50 + i) * 1_000 + k,
              busy: i,
            }));
            sent.push(honest.publishAsync('farms/south/sensors/honest/telemetry', JSON.stringify(items), { qos: 1 }));
            sent.push(network.publishAsync('application/7/device/coded/event/up', uplink('coded', i + 1), { qos: 1 }));
          }
          await Promise.all(sent);
          loam.child.kill('SIGSTOP');
          await pause(2_500);
          loam.child.kill('SIGCONT');
        }
      } finally {
        for (const one of busy) one.kill('SIGKILL');
      }
      const count = async () => {
        const query = `sensor=honest&metric=busy&points=2&from=${first - 1_000}&to=${first + 3_600_000}`;
        const { rows } = await api.call(`/api/farms/south/history?${query}`, history);
        return rows.reduce((sum, row) => sum + (row[5] ?? 0), 0);
      };
      await until('every reading is stored', async () => (await count()) === 4 * 50 * 500, { timeoutMs: 100_000 });
      const after = (await api.call('/api/farms/south/dead-letters?state=all', letters)).letters.length;
      expect(after - before).to.equal(0);
      expect(await loam.stop()).to.equal(0);
    },
  );
});
