import { cp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { z } from 'zod';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { EVENT_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openOldFile } from '../../backbone/take-over/old-file.ts';
import { compare, type Stored } from '../../cli/audit-compare.ts';
import { readPromises } from '../../simulators/load/acknowledged-readings.ts';
import { runLoad } from '../../simulators/load/load.ts';
import { FARM, farmOf } from '../chaos/stage.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { killedAtMoment, killedWhileWriting } from '../e2e/taking-over.ts';
import { endAll } from '../services/cleanup.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

/**
 * Has the last version itself make a data folder, and takes that over, killed at every moment of it:
 *
 *   node --import ./test/services/typescript.js test/elsewhere/last-version.ts CLONE [EVERY]
 *
 * CLONE is a built checkout of the last version. It is killed under load, so readings wait in its queue; and it has
 * dead letters, commands for a sensor that is away, and events. With EVERY, only every so many-th moment is tried. Exits
 * with 1 when something is missing or there twice.
 */

const COMMANDS = 5;
const LETTERS = 7;
const EVENTS = 3;
const envelope = z.object({ id: z.string() });

/** What the last version confirmed, and where it keeps it. */
interface LastVersion {
  readonly data: string;
  readonly promises: string;
  readonly letters: string;
  readonly commands: readonly string[];
  readonly events: readonly string[];
  readonly sensor: { readonly username: string; readonly password: string };
}

async function main(clone: string, every: number): Promise<number> {
  const last = await madeBy(clone);
  let wrong = 0;
  for (let moment = -1, isOver = false; !isOver; moment = moment < 0 ? 0 : moment + every) {
    const data = join(await temporaryFolder(), 'data');
    // Without a lock of that version's kind, a socket.
    await cp(last.data, data, {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => basename(path) !== 'lock',
    });
    const env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    if (moment < 0) await killedWhileWriting(join(data, 'queue'), env);
    else isOver = !(await killedAtMoment(moment, env));
    const complaints = await complaintsOf({ ...last, data }, env);
    const when =
      moment < 0 ? 'killed while it writes the new files' : isOver ? 'not killed' : `killed at moment ${moment}`;
    console.log(`${when}: ${complaints.length === 0 ? 'everything is there once' : complaints.join('; ')}`);
    wrong += complaints.length;
    await rm(data, { recursive: true, force: true });
  }
  return wrong === 0 ? 0 : 1;
}

async function madeBy(clone: string): Promise<LastVersion> {
  const folder = await temporaryFolder();
  const [data, promises] = [join(folder, 'data'), join(folder, 'promises.ndjson')];
  const { connections } = await farmOf(folder, 40, 'rates: { sensor: { messages: 100000 } }');
  const port = await freePort();
  const env = { LOAM_DATA: data, LOAM_MQTT_PORT: String(port), LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
  const loam = new LoamProcess(
    ['up', '--no-demo'],
    { ...env, LOAM_REGISTRY: join(folder, 'registry.yaml') },
    'pipe',
    join(clone, 'cli/bin.js'),
  );
  const [, url = ''] = await loam.says(/Open (http:\/\/[^/\s]+)/);
  const [sleeping, talking, ...rest] = connections;
  const { username = '', password = '' } = talking ?? {};
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { username, password }, false);
  for (let n = 0; n < LETTERS; n++) await publish(client, username, `letter ${n}`);
  for (let n = 0; n <= EVENTS; n++) {
    await publish(client, username, JSON.stringify({ ts: Date.now() - 60_000, values: { n } }));
  }
  const ts = Date.now() - 30_000;
  for (let n = 0; n <= EVENTS; n++) await publish(client, username, JSON.stringify({ ts, values: { moisture: n } }));
  await until('the events', async () => (await metric(loam, 'loam_events_total{event="written"}')) === EVENTS);
  await client.endAsync();
  const reach = { LOAM_DATA: data, LOAM_URL: url };
  const commands: string[] = [];
  for (let n = 0; n < COMMANDS; n++) {
    const sent = await run(['sensor', 'send', sleeping?.username ?? '', JSON.stringify({ n })], reach);
    commands.push(/Command (\S+) is queued/.exec(sent.stdout)?.[1] ?? sent.stderr);
  }
  let letters = '';
  await until(
    'the letters',
    async () => {
      letters = await lettersOf(reach);
      return letters.split('\n').length === LETTERS;
    },
    { timeoutMs: 60_000 },
  );
  const over = new AbortController();
  const load = runLoad(
    {
      url: `mqtt://127.0.0.1:${port}`,
      connections: rest,
      pace: { loop: 'closed' },
      qos: 1,
      inFlight: 64,
      times: { are: 'stepped', first: Date.now(), step: 1 },
      graceMs: 500,
      promises,
    },
    { signal: over.signal },
  );
  await until('many batches to wait', async () => ((await metric(loam, 'loam_queue_depth')) ?? 0) > 20, {
    timeoutMs: 60_000,
    everyMs: 1,
  });
  await loam.stop('SIGKILL');
  over.abort();
  const { acknowledged } = await load;
  console.log(`the last version acknowledged ${acknowledged} readings, and was killed`);
  await cp(join(folder, 'registry.yaml'), join(data, 'registry.yaml'));
  const events = await eventsOf(join(data, 'log/events/data.mdb'));
  const waiting = [...oldTable(join(data, 'queue/data.mdb'), 'messages')].length;
  console.log(
    `it left ${waiting} batches, ${LETTERS} dead letters, ${commands.length} commands, ${events.length} events`,
  );
  const { username: name = '', password: secret = '' } = sleeping ?? {};
  return { data, promises, letters, commands, events, sensor: { username: name, password: secret } };
}

async function complaintsOf(last: LastVersion, env: Readonly<Record<string, string>>): Promise<string[]> {
  const wrong: string[] = [];
  const loam = new LoamProcess(['up', '--no-demo'], env);
  const [, url = ''] = await loam.says(/Open (http:\/\/[^/\s]+)/);
  const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
  const letters = await lettersOf({ LOAM_DATA: last.data, LOAM_URL: url });
  if (letters !== last.letters) wrong.push(`letters: ${letters}`);
  const client = await connectAsync(`mqtt://${mqtt}`, { ...last.sensor, reconnectPeriod: 0 }, false);
  const got = new Set<string>();
  client.on('message', (_topic, payload) => got.add(envelope.parse(JSON.parse(payload.toString())).id));
  await client.subscribeAsync(`farms/${FARM}/sensors/${last.sensor.username}/commands`, { qos: 1 });
  await until('the commands', () => got.size >= last.commands.length).catch((error) => wrong.push(String(error)));
  if ([...got].join() !== last.commands.join()) wrong.push(`commands: ${[...got].join()}`);
  await client.endAsync();
  await until('the queue to be worked off', async () => (await metric(loam, 'loam_queue_depth')) === 0, {
    timeoutMs: 60_000,
  });
  const code = await loam.stop();
  if (code !== 0) wrong.push(`it ended with ${code}`);
  const store = await openDuckdbStore(join(last.data, 'readings.duckdb'));
  const seqs = async function* (farm: string, sensor: string, from: number, to: number): AsyncIterable<Stored> {
    for await (const { ts, value } of store.export({ farm, sensors: [sensor], metrics: ['seq'], from, to }))
      yield { ts, value };
  };
  const audit = await compare(readPromises(last.promises), seqs);
  await store.close();
  if (audit.missing + audit.duplicates > 0)
    wrong.push(`missing ${audit.missing}, duplicates ${audit.duplicates} of ${audit.promised}`);
  const log = await openFileLog(join(last.data, 'log'), 'events', EVENT_LOG_LIMITS);
  const events = (await log.read('first', 1_000)).map(({ body }) => Buffer.from(body).toString('base64'));
  await log.close();
  if (events.slice(0, last.events.length).join() !== last.events.join()) wrong.push('events differ');
  return wrong;
}

const publish = (client: MqttClient, sensor: string, payload: string) =>
  client.publishAsync(`farms/${FARM}/sensors/${sensor}/telemetry`, payload, { qos: 1 });

/** Offset, sensor, reason and state of each. */
async function lettersOf(reach: Readonly<Record<string, string>>): Promise<string> {
  const { stdout } = await run(['dead', 'list', '--farm', FARM, '--state', 'all'], reach);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  return lines.map(([offset, , , sensor, reason, state]) => `${offset} ${sensor} ${reason} ${state}`).join('\n');
}

async function metric(loam: LoamProcess, name: string): Promise<number | undefined> {
  const [, port] = await loam.says(/"ops":"[^"]+:(\d+)"/);
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

async function eventsOf(path: string): Promise<string[]> {
  return [...oldTable(path, 'entries')].map(([, body]) => body.subarray(8).toString('base64'));
}

function* oldTable(path: string, table: string): Iterable<readonly [number, Buffer]> {
  const old = openOldFile(path);
  yield* old.bodies(table);
  void old.close();
}

const [clone, every = '1'] = process.argv.slice(2);
if (clone === undefined) throw new Error('name a built checkout of the last version');
try {
  process.exitCode = await main(clone, Number(every));
} finally {
  await endAll();
}
process.exit();
