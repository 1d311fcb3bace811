import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt, { type MqttClient } from 'mqtt';
import { ISOLATION_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { Broker } from '../../broker/broker.ts';
import { Downlink } from '../../broker/downlink/downlink.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { Worker } from '../../workers/worker.ts';
import { topicOf } from '../broker/harness.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { call, Place } from './harness.ts';

const FARMS = ['north', 'south'] as const;
type FarmId = (typeof FARMS)[number];
/** Each farm's admin, and a field of it. */
const ADMINS = { north: 'newt', south: 'sam' } as const;
const FIELDS = { north: 'f1', south: 'g1' } as const;
const DEVICE = '70b3d57ed0001234';

/** Everything between a sensor and its viewer, with two farms that use the same ids. */
describe('two farms with the same ids, from the broker to the API', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: Gateway;
  let broker: Broker;
  let downlink: Downlink;
  let worker: Worker;
  let trials: Log;
  const cookies = new Map<FarmId, string>();
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    place = await Place.open();
    const password = place.registry.current().users.get('vera')?.password ?? '';
    const bridges = FARMS.map(
      (farm) => `  - { id: gate, farm: ${farm}, role: bridge, secret: ${hashSecret(`${farm}-gate`)} }\n`,
    );
    const sensor = `  - { id: s1, farm: south, field: g1, name: Spring, interval: 7200, secret: ${hashSecret('south-s1')} }\n`;
    await place.edit((text) =>
      text
        .replace('metrics:\n', `${bridges.join('')}${sensor}metrics:\n`)
        .replace('ab'.repeat(32), hashSecret('north-s1'))
        .replace('- name: newt', `- name: newt\n    password: ${password}`)
        .replace('farms: { south: viewer }', 'farms: { south: admin }'),
    );
    const { queue, registry, store, live, dead, commands, metrics } = place;
    gateway = await place.gateway();
    broker = new Broker({ host: '127.0.0.1', port: 0, queue, registry, dead, log: silent });
    await broker.start();
    downlink = new Downlink({ commands, subscribers: broker.subscribers, registry, log: silent, alone: true });
    await downlink.start();
    trials = await openFileLog(await temporaryFolder(), 'trials', ISOLATION_LOG_LIMITS);
    const openTrials = async () => trials;
    worker = new Worker({
      queue,
      store,
      live,
      dead,
      openTrials,
      registry,
      log: silent,
      metrics,
    });
    await worker.start();
    for (const farm of FARMS) cookies.set(farm, await place.signIn(gateway, ADMINS[farm]));
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker.stop(2_000);
    await downlink.stop(2_000);
    await worker.stop(2_000);
    await trials.close();
    await place.close();
  });

  /** What a farm's admin is answered. */
  const ask = (farm: FarmId, path: string, method = 'GET', body?: object) =>
    call(gateway.port, `/api/farms/${farm}${path}`, {
      method,
      headers: { cookie: cookies.get(farm) ?? '' },
      ...(body === undefined ? {} : { body }),
    });
  const read = async (farm: FarmId, path: string) => JSON.parse((await ask(farm, path)).text);
  async function connect(farm: FarmId, id: string): Promise<MqttClient> {
    const options = { clientId: 'same', username: id, password: `${farm}-${id}`, reconnectPeriod: 0 };
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, options, false);
    clients.push(client);
    return client;
  }
  const say = (client: MqttClient, farm: FarmId, id: string, values: object, ts?: number) =>
    client.publishAsync(topicOf(id, farm), JSON.stringify(ts === undefined ? values : { ts, values }), { qos: 1 });
  /** How many values of a sensor are stored. */
  async function stored(farm: FarmId, sensor: string, metric = 'moisture'): Promise<number> {
    const { rows } = await read(farm, `/history?sensor=${sensor}&metric=${metric}&points=5000`);
    return rows.reduce((sum: number, row: number[]) => sum + (row[5] ?? 0), 0);
  }

  it('one registers an id that the other’s bridge brings: that is told nobody, and every reading is stored', async () => {
    const bridge = await connect('south', 'gate');
    const begin = Date.now() - 400_000;
    for (let i = 0; i < 10; i++) await say(bridge, 'south', DEVICE, { moisture: i }, begin + i);
    await until('ten are stored', async () => (await stored('south', DEVICE)) === 10);
    const answer = await ask('north', `/sensors/${DEVICE}`, 'PUT', {});
    expect(answer.status).to.equal(201);
    expect(answer.text.replaceAll(DEVICE, 'ID')).to.equal(
      (await ask('north', '/sensors/nobodys', 'PUT', {})).text.replaceAll('nobodys', 'ID'),
    );
    for (let i = 10; i < 310; i++) await say(bridge, 'south', DEVICE, { moisture: i }, begin + i);
    await until('all are stored', async () => (await stored('south', DEVICE)) === 310);
    expect(await stored('north', DEVICE)).to.equal(0);
    expect((await read('south', '/dead-letters?state=all')).letters).to.deep.equal([]);
    expect((await ask('south', `/sensors/${DEVICE}`, 'PUT', { name: 'Ours' })).status).to.equal(201);
    expect((await ask('south', `/sensors/${DEVICE}`, 'DELETE', {})).status).to.equal(204);
    expect(place.registry.current().sensor('north', DEVICE)).to.not.equal(undefined);
  });

  it('one uses up all names of an id: the other’s names are its own', async () => {
    const [north, south] = [await connect('north', 'gate'), await connect('south', 'gate')];
    await say(north, 'north', DEVICE, Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`junk_${i}`, 1])));
    await until('north’s are stored', async () => (await stored('north', DEVICE, 'junk_63')) === 1);
    for (let i = 0; i < 5; i++) await say(south, 'south', DEVICE, { soil_moisture: 30 + i }, Date.now() - i);
    await until('south’s are stored', async () => (await stored('south', DEVICE, 'soil_moisture')) === 5);
    await say(north, 'north', DEVICE, { one_more: 1 });
    await until('north’s next is too much', async () => (await read('north', '/dead-letters')).letters.length === 1);
    expect((await read('south', '/dead-letters')).letters).to.deep.equal([]);
  });

  it('one’s mistake in the registry stops edits, and says to the other’s admin only that it is not theirs', async () => {
    const file = join(place.folder, 'registry.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('sensors:\n', 'sensors:\n  - { id: s1, farm: south, field: g1 }\n'));
    const answers = [];
    for (const farm of FARMS) answers.push(await ask(farm, '/sensors/new', 'PUT', {}));
    expect(answers.map(({ status }) => status)).to.deep.equal([503, 503]);
    const [north, south] = answers.map((answer) => answer.text);
    expect(south).to.include('farm \\"south\\" has a sensor \\"s1\\" twice');
    expect(north).to.include('the log of the gateway says why').and.not.include('south');
    await writeFile(file, text);
  });

  it('each sees its own: list, live, history, export', async () => {
    const viewers = await Promise.all(FARMS.map((farm) => place.connect(gateway, { cookie: cookies.get(farm) ?? '' })));
    for (const [i, farm] of FARMS.entries()) viewers[i]?.say({ type: 'subscribe', id: 1, farm });
    for (const viewer of viewers) await viewer.next('snapshot');
    const now = Date.now();
    for (const [i, farm] of FARMS.entries()) {
      const [own, bridge] = [await connect(farm, 's1'), await connect(farm, 'gate')];
      await say(own, farm, 's1', { moisture: 31.25 + i }, now);
      await say(bridge, farm, 'x', { moisture: 41.25 + i }, now);
    }
    for (const [i, farm] of FARMS.entries()) {
      const text = () => JSON.stringify(viewers[i]?.all('readings') ?? []);
      await until(`${farm} sees both`, () => text().includes(String(31.25 + i)) && text().includes(String(41.25 + i)));
      expect(text())
        .to.not.include(String(32.25 - i))
        .and.not.include(String(42.25 - i));
      for (const [sensor, value] of [
        ['s1', 31.25 + i],
        ['x', 41.25 + i],
      ] as const) {
        await until('it is stored', async () => (await stored(farm, sensor)) === 1);
        const { rows } = await read(farm, `/history?sensor=${sensor}&metric=moisture`);
        expect(rows.map((row: number[]) => row[1])).to.deep.equal([value]);
      }
      const csv = (await ask(farm, `/export.csv?from=${now - 1_000}&to=${now + 1_000}`)).text
        .trim()
        .split('\r\n')
        .slice(1);
      const [name, field] = farm === 'north' ? ['Row 3', 'f1'] : ['Spring', 'g1'];
      expect(csv.map((line) => line.split(',').slice(0, 6).join()).sort()).to.deep.equal([
        `s1,${name},${field},moisture,%,${31.25 + i}`,
        `x,x,unassigned,moisture,%,${41.25 + i}`,
      ]);
      const { sensors } = await read(farm, '/sensors');
      const s1 = sensors.find(({ id }: { id: string }) => id === 's1');
      expect(s1).to.include({ name, field, interval: farm === 'north' ? 60 : 7_200 });
      const snapshot = await place.connect(gateway, { cookie: cookies.get(farm) ?? '' });
      snapshot.say({ type: 'subscribe', id: 1, farm });
      expect(JSON.stringify(await snapshot.next('snapshot')))
        .to.include(`[${now},${31.25 + i}]`)
        .and.not.include(`[${now},${32.25 - i}]`);
    }
  });

  it('each imports its own, and describes and removes its own', async () => {
    const now = Date.now();
    for (const [i, farm] of FARMS.entries()) {
      const rows = [[1, now - 3_600_000, { moisture: 31.25 + i }]];
      const answer = await ask(farm, '/import', 'POST', { sensor: 's1', rows });
      expect(JSON.parse(answer.text)).to.include({ accepted: 1 });
    }
    for (const [i, farm] of FARMS.entries()) {
      await until('it is stored', async () => (await stored(farm, 's1')) === 1);
      const { rows } = await read(farm, '/history?sensor=s1&metric=moisture');
      expect(rows.map((row: number[]) => row[1])).to.deep.equal([31.25 + i]);
    }
    const foreign = await ask('north', '/import', 'POST', { sensor: 't1', rows: [[1, now - 1_000, { moisture: 1 }]] });
    expect(foreign.status, 'south’s alone').to.equal(404);
    const described = await ask('south', '/sensors/s1', 'PUT', { name: 'Well', field: FIELDS.south });
    expect(described.status).to.equal(200);
    expect(place.registry.current().sensor('north', 's1')).to.include({ name: 'Row 3', field: 'f1' });
    const { secret } = JSON.parse((await ask('south', '/sensors/s1/secret', 'POST', {})).text);
    expect(place.registry.current().sensor('south', 's1')?.secret).to.equal(hashSecret(secret));
    const north = await connect('north', 's1');
    expect((await ask('south', '/sensors/s1', 'DELETE', {})).status).to.equal(204);
    expect(place.registry.current().sensor('south', 's1')).to.equal(undefined);
    await say(north, 'north', 's1', { moisture: 1 });
    expect(north.connected).to.equal(true);
  });

  it('each sends its own commands, and its own sensor answers', async () => {
    const got = new Map<FarmId, unknown[]>(FARMS.map((farm) => [farm, []]));
    for (const farm of FARMS) {
      const client = await connect(farm, 's1');
      client.on('message', (topic, payload) => got.get(farm)?.push([topic, JSON.parse(payload.toString()).command]));
      await client.subscribeAsync(`farms/${farm}/sensors/s1/commands`, { qos: 1 });
    }
    for (const farm of FARMS)
      expect((await ask(farm, '/sensors/s1/commands', 'POST', { command: farm })).status).to.equal(202);
    for (const farm of FARMS) {
      await until('it has come', () => got.get(farm)?.length === 1);
      expect(got.get(farm)).to.deep.equal([[`farms/${farm}/sensors/s1/commands`, farm]]);
      await until('it is delivered', async () => {
        const { commands } = await read(farm, '/sensors/s1/commands');
        return commands.length === 1 && commands[0].state === 'delivered' && commands[0].command === farm;
      });
    }
    expect((await ask('north', '/sensors/t1/commands', 'POST', { command: 1 })).status, 'south’s alone').to.equal(404);
  });

  it('each has its own dead letters, with their counts, and replays its own', async () => {
    for (const [i, farm] of FARMS.entries()) {
      const client = await connect(farm, 's1');
      for (let n = 0; n <= i; n++) await client.publishAsync(topicOf('s1', farm), `broken ${farm} ${n}`, { qos: 1 });
    }
    for (const [i, farm] of FARMS.entries()) {
      const letters = await until('they are set aside', async () => {
        const { letters, counts } = await read(farm, '/dead-letters?sensor=s1');
        return counts.open === i + 1 && letters;
      });
      for (const letter of letters) expect(letter.payload).to.match(new RegExp(`^broken ${farm}`));
      await until('they are counted', async () => {
        const { sensors } = await read(farm, '/sensors');
        return sensors.find(({ id }: { id: string }) => id === 's1')?.refused === i + 1;
      });
    }
    const [{ offset }] = (await read('north', '/dead-letters')).letters;
    expect((await ask('south', `/dead-letters/${offset}/replay`, 'POST', {})).status).to.equal(404);
    expect((await ask('north', `/dead-letters/${offset}/replay`, 'POST', {})).status).to.equal(200);
    await until(
      'it comes back as north’s',
      async () => (await read('north', '/dead-letters?state=all')).letters.length === 2,
    );
    expect((await read('south', '/dead-letters?state=all')).letters).to.have.length(2);
  });
});
