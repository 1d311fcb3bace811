import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { z } from 'zod';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { EVENT_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { hashSecret } from '../../core/secrets.ts';
import { decodeEvent } from '../../telemetry/event.ts';
import { shortOrLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import {
  type OldPublish,
  oldBatch,
  oldCommand,
  oldDelivery,
  oldEvent,
  oldLetter,
  oldMark,
  writeOldFolder,
} from './last-version.ts';
import { LoamProcess, run } from './loam-process.ts';
import { killedAtMoment, killedWhileWriting } from './taking-over.ts';

const NOW = Date.now();
const HOUR = 3_600_000;
const BATCHES = 400;
const A_BATCH = 50;
const LETTERS = 30;
const COMMANDS = 5;
const EVENTS = 20;

const REGISTRY = `farms:
  - { id: north, name: North farm, timezone: UTC }
sensors:
  - { id: s1, farm: north, secret: ${hashSecret('secret-s1')} }
users: []
`;

/** Reading `n`, of a time of its own. */
const publishOf = (payload: unknown): OldPublish => ({
  farm: 'north',
  field: 'unassigned',
  sensor: 's1',
  topic: 'farms/north/sensors/s1/telemetry',
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  received: NOW,
});
const batches = Array.from({ length: BATCHES }, (_, batch) =>
  oldBatch(
    `batch ${batch}`,
    Array.from({ length: A_BATCH }, (_, i) => {
      const n = batch * A_BATCH + i;
      return publishOf({ ts: NOW - HOUR + n, values: { n } });
    }),
  ),
);
const letters = Array.from({ length: LETTERS }, (_, n) =>
  oldLetter(publishOf(`letter ${n}`), 'not_json', NOW, 'worker/1'),
);
const commands = Array.from({ length: COMMANDS }, (_, n) =>
  oldCommand(`command-${n}`, 'north', 's1', JSON.stringify({ valve: n }), NOW - HOUR, NOW + HOUR),
);
const events = Array.from({ length: EVENTS }, (_, n) =>
  oldEvent(`live:${n}:0:moisture`, 'north', 's1', NOW - n, [n, n + 1]),
);
const envelope = z.object({ id: z.string(), command: z.object({ valve: z.number() }) });

describe('what the last version left behind, taken over by a process that is killed again and again', function () {
  this.timeout(240_000);

  it('is all there once: waiting readings, dead letters with their offsets, commands, events', async () => {
    const data = join(await temporaryFolder(), 'data');
    await writeOldFolder(data, {
      registry: REGISTRY,
      adminToken: 't'.repeat(43),
      rows: [],
      queue: batches,
      live: [],
      // The third is discarded; the mark is an entry of its own.
      letters: [...letters, oldMark('north', 2, NOW)],
      commands: [...commands, oldDelivery('command-0', 'north', 's1', NOW)],
      events,
    });
    const env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    await killedWhileWriting(join(data, 'queue'), env);
    // Of one folder: made the new one, named it, moved the old file. What was done stays done, so they go on from there.
    for (const moment of shortOrLong([1, 5], [1, 2, 4, 5, 8, 14])) {
      expect(await killedAtMoment(moment, env), `moment ${moment}`).to.equal(true);
    }
    const loam = new LoamProcess(['up', '--no-demo'], env);
    try {
      const [, url = ''] = await loam.says(/Open (http:\/\/[^/\s]+)/);
      const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
      const listing = ['dead', 'list', '--farm', 'north', '--state', 'all', '--limit', '100'];
      // While the log is being read, it says so.
      const stdout = await until(
        'the letters',
        async () => {
          const { code, stdout } = await run(listing, { LOAM_DATA: data, LOAM_URL: url });
          return code === 0 && stdout;
        },
        { timeoutMs: 60_000 },
      );
      const listed = stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split('\t'));
      expect(listed.map(([offset, , , , , state]) => [Number(offset), state])).to.deep.equal(
        letters.map((_, n) => [n, n === 2 ? 'discarded' : 'open']).reverse(),
      );
      expect(await commandsAt(mqtt)).to.deep.equal(
        [1, 2, 3, 4].map((n) => ({ id: `command-${n}`, command: { valve: n } })),
      );
      await until('the readings to be stored', async () => (await written(loam)) === BATCHES * A_BATCH, {
        timeoutMs: 60_000,
      });
      expect(await loam.stop()).to.equal(0);
    } finally {
      await loam.stop('SIGKILL');
    }
    expect(await valuesIn(data)).to.deep.equal(Array.from({ length: BATCHES * A_BATCH }, (_, n) => n));
    const log = await openFileLog(join(data, 'log'), 'events', EVENT_LOG_LIMITS);
    const kept = await log.read('first', 1_000);
    await log.close();
    expect(kept.map(({ body }) => decodeEvent(body)?.id)).to.deep.equal(events.map((_, n) => `live:${n}:0:moisture`));
  });
});

/** What a sensor that comes is sent, in order of the ids. */
async function commandsAt(mqtt: string) {
  const options = { username: 's1', password: 'secret-s1', reconnectPeriod: 0 };
  const client = await connectAsync(`mqtt://${mqtt}`, options, false);
  const got = new Map<string, z.infer<typeof envelope>>();
  client.on('message', (_topic, payload) => {
    const command = envelope.parse(JSON.parse(payload.toString()));
    got.set(command.id, command);
  });
  await client.subscribeAsync('farms/north/sensors/s1/commands', { qos: 1 });
  await until('the commands', () => got.size >= COMMANDS - 1);
  await client.endAsync();
  return [...got.values()].sort((a, b) => a.id.localeCompare(b.id));
}

async function written(loam: LoamProcess): Promise<number> {
  const [, port] = await loam.says(/"ops":"[^"]+:(\d+)"/);
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^loam_readings_written_total\{farm="north"\} (\d+)/m.exec(text)?.[1] ?? 0);
}

async function valuesIn(data: string): Promise<number[]> {
  const store = await openDuckdbStore(join(data, 'readings.duckdb'));
  const values: number[] = [];
  for await (const { value } of store.export({
    farm: 'north',
    sensors: ['s1'],
    metrics: ['n'],
    from: 0,
    to: Date.now(),
  })) {
    values.push(value);
  }
  await store.close();
  return values.sort((a, b) => a - b);
}
