import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import { connectAsync } from 'mqtt';
import { z } from 'zod';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Api } from '../../cli/api.ts';
import { loadConfig } from '../../core/config.ts';
import { hashPassword, hashSecret } from '../../core/secrets.ts';
import { influx } from '../services/influx.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import {
  type OldPublish,
  type OldRow,
  oldBatch,
  oldEntry,
  oldLetter,
  oldMark,
  writeOldFolder,
} from './last-version.ts';
import { LoamProcess, run } from './loam-process.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** When the last version was stopped: within a minute, so that what came then is in one bucket of a history. */
const STOPPED = Math.floor(Date.now() / MINUTE) * MINUTE - 10 * MINUTE + 500;
const TOKEN = 't'.repeat(43);
const PASSWORD = 'correct horse battery';

/** North has a sensor and a bridge, south a sensor; `x1` is one that the bridge brings. */
const registryOf = async () => `farms:
  - { id: north, name: North farm, timezone: Europe/Berlin }
  - { id: south, name: South farm, timezone: UTC }
fields:
  - { id: f1, farm: north, name: Hill, crop: barley }
sensors:
  - { id: s1, farm: north, field: f1, name: Row 3, interval: 60, secret: ${hashSecret('secret-s1')} }
  - { id: gate, farm: north, role: bridge, secret: ${hashSecret('secret-gate')} }
  - { id: t1, farm: south, clock: receipt, secret: ${hashSecret('secret-t1')} }
rates: { sensor: { messages: 100 } }
metrics:
  - { id: moisture, label: Moisture, unit: '%', min: 20, max: 45 }
users:
  - { name: anna, password: "${await hashPassword(PASSWORD)}", farms: { '*': admin } }
`;

const publishOf = (sensor: string, payload: unknown, received: number, farm = 'north'): OldPublish => ({
  farm,
  field: sensor === 's1' ? 'f1' : 'unassigned',
  sensor,
  topic: `farms/${farm}/sensors/${sensor}/telemetry`,
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  received,
});
const timed = (moisture: number, ts: number) => ({ ts, values: { moisture } });

/** Of the last second before the stop: publishes with and without times, of a bridge, of another farm, and one that is broken. */
const LAST = oldBatch('last', [
  publishOf('s1', { moisture: 11 }, STOPPED),
  publishOf('s1', { moisture: 12 }, STOPPED + 1),
  publishOf('s1', timed(13, STOPPED - HOUR), STOPPED + 2),
  publishOf('s1', [timed(14, STOPPED - 2 * HOUR), timed(15, STOPPED - 3 * HOUR)], STOPPED + 3),
  publishOf('x1', [{ n: 'moisture', v: 16 }], STOPPED + 4),
  publishOf('t1', [timed(17, 1_000), timed(18, 1_500)], STOPPED + 5, 'south'),
  publishOf('s1', '{"moisture":', STOPPED + 6),
]);
const QUEUE = [
  LAST,
  oldBatch('empty', []),
  // An import keeps the times of its file, whatever clock the sensor has.
  oldBatch('imported', [publishOf('t1', [timed(19, STOPPED - 30 * HOUR)], STOPPED, 'south')], 'import'),
  oldBatch('replayed', [publishOf('s1', { moisture: 20 }, STOPPED - 5 * HOUR)], 'replay'),
  // It was delivered before, and its acknowledgement was lost with the process.
  LAST,
];
/** What is in the queue as values: farm, sensor, value, time. */
const QUEUED: readonly [string, string, number, number][] = [
  ['north', 's1', 11, STOPPED],
  ['north', 's1', 12, STOPPED + 1],
  ['north', 's1', 13, STOPPED - HOUR],
  ['north', 's1', 14, STOPPED - 2 * HOUR],
  ['north', 's1', 15, STOPPED - 3 * HOUR],
  ['north', 'x1', 16, STOPPED + 4],
  ['south', 't1', 17, STOPPED + 5 - 500],
  ['south', 't1', 18, STOPPED + 5],
  ['south', 't1', 19, STOPPED - 30 * HOUR],
  ['north', 's1', 20, STOPPED - 5 * HOUR],
];
const STORED: readonly [string, string, number, number][] = [
  ['north', 's1', 1, STOPPED - 50 * HOUR],
  ['north', 's1', 3, STOPPED - 49 * HOUR],
  ['north', 'x1', 4, STOPPED - 49 * HOUR],
  ['south', 't1', 5, STOPPED - 49 * HOUR],
];
const rowOf = ([farm, sensor, value, ts]: readonly [string, string, number, number]): OldRow => [
  farm,
  sensor,
  'moisture',
  ts,
  value,
  ts + 20,
];
const sorted = (values: readonly (readonly [string, string, number, number])[]) =>
  [...values].sort((a, b) => a[2] - b[2] || a[3] - b[3]);

describe('what the last version left behind', function () {
  this.timeout(120_000);
  const processes: LoamProcess[] = [];

  afterEach(async () => {
    for (const child of processes.splice(0)) await child.stop('SIGKILL');
  });

  function begin(args: readonly string[], env: Readonly<Record<string, string>>): LoamProcess {
    const child = new LoamProcess(args, env);
    processes.push(child);
    return child;
  }

  it('is worked off, shown, replayed and gone on with by `loam up`: queue, readings, logs, letters, secrets', async () => {
    const data = join(await temporaryFolder(), 'data');
    const corrected = rowOf(['north', 's1', 2, STOPPED - 49 * HOUR]);
    const letters = [
      oldLetter(publishOf('s1', 'what is this?', STOPPED - 4 * HOUR), 'not_json', STOPPED - 4 * HOUR),
      oldLetter(publishOf('s1', { moisture: 21 }, STOPPED - 4 * HOUR), 'store_rejected', STOPPED, 'worker/1'),
      oldLetter(publishOf('s1', 'no more', STOPPED), 'not_json', STOPPED, 'worker/1'),
    ];
    const given = {
      registry: await registryOf(),
      adminToken: TOKEN,
      rows: [corrected, ...STORED.map(rowOf)],
      queue: QUEUE,
      live: [
        oldEntry('live 1', [['north', 's1', STOPPED - 49 * HOUR, STOPPED - 49 * HOUR, { moisture: 3 }]]),
        oldEntry('live 2', [['south', 't1', STOPPED, STOPPED, { moisture: 5 }, 1_000, true]]),
        oldEntry('live 3', [], [['north', 's1', STOPPED - 50 * HOUR, STOPPED - 49 * HOUR]]),
      ],
    };
    // Offsets of this log begin at 0: the mark is about the third letter.
    const offsets = await writeOldFolder(data, { ...given, letters: [...letters, oldMark('north', 2, STOPPED)] });
    expect(offsets).to.deep.equal([0, 1, 2, 3]);

    const ports = { LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    const loam = begin(['up', '--no-demo'], { LOAM_DATA: data, ...ports });
    const [, url = ''] = await loam.says(/Open (http:\/\/[^/\s]+)/);
    const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
    const api = await Api.open(loadConfig({ data, url }, {}));
    const exported = async () => {
      const found: [string, string, number, number][] = [];
      for (const farm of ['north', 'south']) {
        const answer = await api.stream(
          `/api/farms/${farm}/export.csv?from=${STOPPED - 100 * HOUR}&to=${Date.now() + 1}`,
        );
        const text = await new Response(answer).text();
        for (const line of z.array(csvLine).parse(parse(text, { columns: true, bom: true })))
          found.push([farm, line.sensor, line.value, Date.parse(line.measured)]);
      }
      return sorted(found);
    };
    const holds = (values: readonly (readonly [string, string, number, number])[]) =>
      until(
        'the values are stored',
        async () => {
          const found = await exported();
          if (found.length < values.length) return false;
          expect(found).to.deep.equal(sorted(values));
          return true;
        },
        { timeoutMs: 30_000 },
      );
    await holds([...STORED, ...QUEUED]);
    const history = await api.call(
      `/api/farms/north/history?sensor=s1&metric=moisture&from=${STOPPED - 100 * HOUR}&to=${Date.now()}&points=5000`,
      z.object({ rows: z.array(z.array(z.number())) }),
    );
    expect(history.rows.map(([, last]) => last)).to.deep.equal([1, 3, 20, 15, 14, 13, 12]);
    expect(history.rows.at(-1)?.[5], 'two values in the last bucket').to.equal(2);

    const env = { LOAM_DATA: data, LOAM_URL: url };
    const list = (await run(['dead', 'list', '--farm', 'north', '--state', 'all'], env)).stdout;
    // The newest come first: those above the last three are of what was in the queue.
    const listed = list.trimEnd().split('\n').slice(-3);
    const columns = listed.map((line) => line.split('\t'));
    expect(columns.map(([offset, , , sensor, reason, state]) => [offset, sensor, reason, state])).to.deep.equal([
      ['2', 's1', 'not_json', 'discarded'],
      ['1', 's1', 'store_rejected', 'open'],
      ['0', 's1', 'not_json', 'open'],
    ]);
    const replay = await run(['dead', 'replay', '1', '--farm', 'north'], env);
    expect(replay.stdout, replay.stderr).to.match(/^1 letter replayed/);
    const replayed = [...STORED, ...QUEUED, ['north', 's1', 21, STOPPED - 4 * HOUR] as const];
    await holds(replayed);

    const added: [string, string, number, number][] = [];
    for (const [i, [farm, id]] of (
      [
        ['north', 's1'],
        ['north', 'gate'],
        ['south', 't1'],
      ] as const
    ).entries()) {
      const options = { username: id, password: `secret-${id}`, reconnectPeriod: 0 };
      const client = await connectAsync(`mqtt://${mqtt}`, options, false);
      const sensor = id === 'gate' ? 'x1' : id;
      const topic = `farms/${farm}/sensors/${sensor}/telemetry`;
      await client.publishAsync(topic, JSON.stringify({ moisture: 30 + i }), { qos: 1 });
      await client.endAsync();
      added.push([farm, sensor, 30 + i, 0]);
    }
    await until('the new values are stored', async () => {
      const found = (await exported()).filter(([, , value]) => value >= 30);
      return (
        found.length === 3 &&
        expect(found.map(([farm, sensor, value]) => [farm, sensor, value, 0])).to.deep.equal(added)
      );
    });
    const body = JSON.stringify({ user: 'anna', password: PASSWORD });
    const headers = { 'content-type': 'application/json' };
    expect((await fetch(`${url}/api/login`, { method: 'POST', headers, body })).status).to.equal(200);

    expect(await loam.stop('SIGTERM')).to.equal(0);
    expect(loam.stdout + loam.stderr).not.to.match(/"level":(50|60)/);
    const queue = await openFileQueue(`${data}/queue`);
    expect(await queue.depth()).to.equal(0);
    await queue.close();
  });

  it('in RabbitMQ and InfluxDB is worked off by `loam worker`, and stands beside what was stored', async () => {
    const [amqp, server] = [await rabbit(), await influx()];
    const database = `last_version_${process.pid}`;
    await server.createDatabase(database);
    const lines = STORED.map(
      ([farm, sensor, value, ts]) =>
        `readings,farm=${farm},sensor=${sensor} moisture=${value},received=${ts + 20} ${ts}`,
    );
    const write = `${server.url}/write?db=${database}&precision=ms`;
    expect((await fetch(write, { method: 'POST', body: lines.join('\n') })).status).to.equal(204);
    const queue: Queue = await openRabbitQueue(amqp.url);
    try {
      for (const message of QUEUE) await queue.publish(message);
      const folder = await temporaryFolder();
      await writeOldFolder(folder, {
        registry: await registryOf(),
        adminToken: TOKEN,
        rows: [],
        queue: [],
        live: [],
        letters: [],
      });
      const worker = begin(['worker'], {
        LOAM_DATA: folder,
        LOAM_QUEUE: amqp.url,
        LOAM_LOG: amqp.url,
        LOAM_STORE: server.storeUrl(database),
        LOAM_OPS_PORT: '0',
      });
      await worker.says(/worker is ready/);
      await until('the queue is worked off', async () => (await queue.depth()) === 0, { timeoutMs: 30_000 });
      expect(await worker.stop('SIGTERM')).to.equal(0);
      expect(worker.stdout + worker.stderr).not.to.match(/"level":(50|60)/);
    } finally {
      await queue.close();
    }
    const store = await openInfluxStore(server.storeUrl(database));
    const found: [string, string, number, number][] = [];
    for (const farm of ['north', 'south']) {
      const query = { farm, sensors: ['s1', 'x1', 't1'], from: 0, to: Date.now() };
      for await (const { sensor, value, ts } of store.export(query)) found.push([farm, sensor, value, ts]);
    }
    await store.close();
    expect(sorted(found)).to.deep.equal(sorted([...STORED, ...QUEUED]));
  });
});

const csvLine = z.object({ sensor: z.string(), value: z.coerce.number(), measured: z.string() });
