import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import { z } from 'zod';
import { Api } from '../../cli/api.ts';
import { loadConfig } from '../../core/config.ts';
import { hashSecret } from '../../core/secrets.ts';
import { FakeTime } from '../services/faketime.ts';
import { itIfLong } from '../services/length.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess, run } from './loam-process.ts';

const SECRET = 's'.repeat(32);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const registry = `farms:
  - { id: north, name: North farm, timezone: Europe/Berlin }
sensors:
  - { id: timed, farm: north, secret: ${hashSecret(`${SECRET}1`)} }
  - { id: untimed, farm: north, secret: ${hashSecret(`${SECRET}2`)} }
`;
const history = z.object({ rows: z.array(z.array(z.number())) });
const letters = z.object({ counts: z.object({ open: z.number() }) });
const system = z.object({
  parts: z.array(z.object({ name: z.string(), ok: z.boolean(), why: z.string().optional() })),
  wrongReceipts: z.array(z.object({ from: z.number(), to: z.number(), byMs: z.number() })),
});
const command = z.object({ id: z.string() });

describe('loam up on a machine whose clock is wrong', function () {
  this.timeout(180_000);
  let env: Record<string, string>;
  let url: string;
  let loam: LoamProcess | undefined;
  let api: Api;
  let clients: MqttClient[] = [];
  /** The values that were sent and when, by the right clock. */
  let sent: { readonly timed: Map<number, number>; readonly untimed: Map<number, number> };
  let last = 0;

  beforeEach(async () => {
    const [httpPort, mqttPort] = [await freePort(), await freePort()];
    const data = join(await temporaryFolder(), 'data');
    await mkdir(data, { recursive: true });
    await writeFile(join(data, 'registry.yaml'), registry);
    url = `http://127.0.0.1:${httpPort}`;
    const ports = { LOAM_MQTT_PORT: String(mqttPort), LOAM_HTTP_PORT: String(httpPort), LOAM_OPS_PORT: '0' };
    env = { ...ports, LOAM_DATA: data, LOAM_URL: url };
    sent = { timed: new Map(), untimed: new Map() };
    last = 0;
  });

  afterEach(async () => {
    await disconnect();
    await loam?.stop('SIGKILL');
  });

  async function start(time?: FakeTime): Promise<void> {
    loam = new LoamProcess(['up', '--no-demo'], { ...env, ...time?.env });
    await loam.says(/Open http/);
    api = await Api.open(loadConfig({ data: env.LOAM_DATA ?? '', url }, {}));
    await connect();
  }

  async function connect(): Promise<void> {
    const to = `mqtt://127.0.0.1:${env.LOAM_MQTT_PORT}`;
    clients = await Promise.all(
      ['timed', 'untimed'].map((username, i) =>
        connectAsync(to, { username, password: `${SECRET}${i + 1}`, reconnectPeriod: 0 }),
      ),
    );
  }

  async function disconnect(): Promise<void> {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
  }

  /** Resolves when some readings of both sensors are acknowledged. */
  async function publish(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      last += 1;
      const ts = Date.now();
      const payloads = [{ ts, values: { a: last } }, { values: { a: last } }];
      for (const [at, sensor] of (['timed', 'untimed'] as const).entries()) {
        sent[sensor].set(last, ts);
        const payload = JSON.stringify(payloads[at]);
        await clients[at]?.publishAsync(`farms/north/sensors/${sensor}/telemetry`, payload, { qos: 1 });
      }
    }
  }

  async function rowsOf(sensor: 'timed' | 'untimed'): Promise<number[][]> {
    const [from, to] = [Date.now() - 10 * MINUTE, Date.now() + 10 * MINUTE];
    const query = `sensor=${sensor}&metric=a&from=${from}&to=${to}&points=2000`;
    return (await api.call(`/api/farms/north/history?${query}`, history)).rows;
  }

  /** How many readings are stored at about the right time. */
  async function count(sensor: 'timed' | 'untimed'): Promise<number> {
    return (await rowsOf(sensor)).reduce((sum, [, , , , , ofBucket = 0]) => sum + ofBucket, 0);
  }

  async function stored(sensor: 'timed' | 'untimed'): Promise<Map<number, number>> {
    const rows = await rowsOf(sensor);
    // Values rise with time: of each bucket its lowest and highest.
    return new Map(rows.flatMap(([ts = 0, , low = 0, high = 0]) => [[low, ts] as const, [high, ts] as const]));
  }

  /** Resolves when everything that was sent is stored at its time, and no letter is open. */
  async function allIsRight(): Promise<void> {
    for (const sensor of ['timed', 'untimed'] as const) {
      const found = await until(
        `all of ${sensor} are stored at their time`,
        async () => {
          const at = await stored(sensor);
          return at.has(last) && at.has(1) && at;
        },
        { timeoutMs: 60_000 },
      );
      // Whole buckets of a second, and a receipt is a moment later.
      for (const [value, ts] of found) {
        expect(Math.abs(ts - (sent[sensor].get(value) ?? 0)), `${sensor} ${value}`).to.be.lessThan(5_000);
      }
    }
    const { counts } = await api.call('/api/farms/north/dead-letters', letters);
    expect(counts.open, 'letters').to.equal(0);
  }

  async function replayAll(): Promise<void> {
    const done = await run(['dead', 'replay', '--all', '--farm', 'north'], env);
    expect(done.code, done.stderr).to.equal(0);
  }

  /** Resolves when the broker has seen so many steps. */
  const seen = (steps: number) =>
    until(`${steps} steps are seen`, () => (loam?.stderr.match(/"clock_set","byMs"/g)?.length ?? 0) >= steps);
  const clockPart = async () => (await api.call('/api/system', system)).parts.find(({ name }) => name === 'clock');

  itIfLong('that is far behind at the start: all is stored at its time when the clock is set right', async () => {
    const time = await FakeTime.at('-400d');
    await start(time);
    expect((await clockPart())?.why).to.match(/doubted/);
    await publish();
    await time.set('+0');
    await seen(1);
    await publish();
    await allIsRight();
    const { wrongReceipts } = await api.call('/api/system', system);
    expect(wrongReceipts).to.have.length(1);
    expect(Math.abs((wrongReceipts[0]?.byMs ?? 0) - 400 * 24 * HOUR)).to.be.lessThan(10_000);
  });

  itIfLong('that is killed meanwhile, and started again with the right clock: all is stored at its time', async () => {
    await start(await FakeTime.at('-400d'));
    await publish();
    await disconnect();
    await loam?.stop('SIGKILL');
    await start();
    await publish();
    await allIsRight();
  });

  itIfLong(
    'that is set back for a while: what was refused for its time is stored by replay, when it is right',
    async () => {
      const time = await FakeTime.at('+2h');
      // Without a doubt: a step back that was seen is believed.
      await start(time);
      await time.set('+0');
      await seen(1);
      await publish();
      await time.set('-1h');
      await seen(2);
      await publish();
      await time.set('+0');
      await seen(3);
      await publish();
      await until('no message waits', async () => (await stored('timed')).has(last));
      await replayAll();
      await until('all are stored', async () => (await count('timed')) === sent.timed.size);
      const { counts } = await api.call('/api/farms/north/dead-letters', letters);
      expect(counts.open, 'letters').to.equal(0);
    },
  );

  itIfLong(
    'that was a month ahead and is right at the next start: nothing waits, and the wrong times are listed',
    async () => {
      await start(await FakeTime.at('+30d'));
      await publish();
      await until('they are stored', async () => (await stored('timed')).has(last));
      await disconnect();
      await loam?.stop();
      sent.untimed.clear();
      await start();
      const first = last + 1;
      await publish();
      await until('the newest is stored', async () => (await stored('untimed')).has(last));
      for (const [value, ts] of await stored('untimed')) {
        if (value >= first) expect(Math.abs(ts - (sent.untimed.get(value) ?? 0))).to.be.lessThan(5_000);
      }
      const { wrongReceipts } = await api.call('/api/system', system);
      expect(wrongReceipts.map(({ byMs }) => Math.round(byMs / HOUR))).to.deep.equal([-30 * 24]);
      expect((await clockPart())?.why).to.match(/set back by 30 d/);
    },
  );

  itIfLong('that is two days ahead for a while: commands and sign-ins go on', async () => {
    const time = await FakeTime.at('+0');
    await start(time);
    await disconnect();
    const path = '/api/farms/north/sensors/timed/commands';
    await api.call(path, command, {
      method: 'POST',
      body: JSON.stringify({ command: { valve: 'open' } }),
      contentType: 'application/json',
    });
    await time.set('+2d');
    await seen(1);
    expect((await api.call('/api/system', system)).parts.length).to.be.greaterThan(0);
    await time.set('+0');
    await seen(2);
    await connect();
    const got = new Promise<string>((resolve) =>
      clients[0]?.on('message', (_topic, payload) => resolve(String(payload))),
    );
    await clients[0]?.subscribeAsync('farms/north/sensors/timed/commands', { qos: 1 });
    expect(await got).to.match(/open/);
  });
});
