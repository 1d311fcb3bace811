import { expect } from 'chai';
import fc from 'fast-check';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { COMMANDS_LOG_LIMITS, DEAD_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { identify } from '../../broker/auth/identity.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { Sources } from '../../broker/sources/sources.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { hashSecret } from '../../core/secrets.ts';
import { decodeDead, type Publish } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { startMosquitto } from '../services/mosquitto.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, type Papers, signed, writePapers } from './certificates.ts';
import { Stations, take, wish } from './downlink-place.ts';
import { RawClient, startBroker, takeOut, topicOf } from './harness.ts';

const ON_BOTH = ['north', 'south'] as const;
type FarmId = (typeof ON_BOTH)[number];

/** Two farms, each with a sensor `a1` and a bridge `gate`. The secret of each is its farm and its id, as `north-a1`. */
function farms(more: { readonly [farm in FarmId]?: string } = {}): string {
  const sensors = ON_BOTH.flatMap((farm) => [
    `  - { id: a1, farm: ${farm}, field: f1, secret: ${hashSecret(`${farm}-a1`)}${more[farm] ?? ''} }`,
    `  - { id: gate, farm: ${farm}, role: bridge, secret: ${hashSecret(`${farm}-gate`)} }`,
  ]);
  return `farms:
  - { id: north, name: North, timezone: UTC }
  - { id: south, name: South, timezone: UTC }
fields:
  - { id: f1, farm: north, name: Hill }
  - { id: f1, farm: south, name: Creek }
sensors:
${sensors.join('\n')}
`;
}

describe('two farms with the same ids, at the broker', () => {
  let queue: Queue;
  let book: Book;
  let broker: Broker | undefined;
  const refused: Publish[] = [];
  const clients: (MqttClient | RawClient)[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    book = new Book(farms());
    refused.length = 0;
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker?.stop(2_000);
    broker = undefined;
    await queue.close();
  });

  async function start(limits: BrokerOptions['limits'] = {}): Promise<Broker> {
    const onRefused = (publish: Publish) => void refused.push(publish);
    broker = await startBroker(queue, { registry: book, limits, onRefused });
    return broker;
  }
  async function connect(options: IClientOptions, url = `mqtt://127.0.0.1:${broker?.port}`): Promise<MqttClient> {
    const usual = { clientId: 'same', reconnectPeriod: 0, connectTimeout: 5_000 };
    const client = await mqtt.connectAsync(url, { ...usual, ...options }, false);
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  const as = (farm: FarmId, id: string, more: IClientOptions = {}) =>
    connect({ username: id, password: `${farm}-${id}`, ...more });
  /** Resolves with the CONNACK code of the broker's no. */
  const refusal = (options: IClientOptions, url?: string) =>
    connect(options, url).then(
      () => 'let in',
      (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
    );
  const say = (client: MqttClient, farm: FarmId, id: string, text: string = farm) =>
    client.publishAsync(topicOf(id, farm), JSON.stringify(text), { qos: 1 });
  const place = ({ farm, field, sensor, payload }: Publish) => [farm, field, sensor, Buffer.from(payload).toString()];

  describe('a user name', () => {
    it('is the id, and the secret decides in which farm; or the farm and the id; or the secret alone', async () => {
      await start();
      for (const farm of ON_BOTH) {
        for (const signIn of [
          { username: 'a1', password: `${farm}-a1` },
          { username: `${farm}/a1`, password: `${farm}-a1` },
          { username: `${farm}-a1` },
        ]) {
          await say(await connect(signIn), farm, 'a1');
          expect((await takeOut(queue, 1)).map(place)).to.deep.equal([[farm, 'f1', 'a1', `"${farm}"`]]);
        }
      }
      expect(broker?.counters.notAuthorised).to.equal(0);
    });

    it('with the secret of another sensor, of its farm or of the same id, is refused', async () => {
      await start();
      const wrong: [username: string, password: string][] = [
        ['north/a1', 'south-a1'],
        ['south/a1', 'north-a1'],
        ['a1', 'north-gate'],
        ['east/a1', 'north-a1'],
        ['north/a1/', 'north-a1'],
        ['north//a1', 'north-a1'],
        ['a1', ''],
      ];
      for (const [username, password] of wrong) {
        expect(await refusal({ username, password }), `${username} ${password}`).to.equal(4);
      }
      expect(broker?.counters.refusedCredentials).to.equal(wrong.length);
    });

    it('lets in the sensor whose secret it is, and no other, in any registry', () => {
      const id = fc.constantFrom('a', 'b', 'a.b', 'a:b', 'a-b');
      const sensor = fc.record({
        farm: fc.constantFrom('a', 'b', 'c'),
        id,
        secret: fc.constantFrom('1', '2', '3', '4', '5'),
      });
      const unique = fc.uniqueArray(sensor, { maxLength: 8, selector: (one) => `${one.farm}/${one.id}` });
      const ofFarms = unique.map((sensors) =>
        sensors.filter((one, i) => sensors.findIndex((s) => s.secret === one.secret) === i),
      );
      const name = fc.oneof(
        id,
        fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', ''), id).map((parts) => parts.join('/')),
      );
      const password = fc.constantFrom('', '1', '2', '3', '4', '5', '6');
      fc.assert(
        fc.property(ofFarms, fc.oneof(name, password), password, (sensors, username, given) => {
          const list = sensors.map((s) => `  - { id: '${s.id}', farm: ${s.farm}, secret: ${hashSecret(s.secret)} }\n`);
          const registry = parseRegistry(
            `farms:\n${['a', 'b', 'c'].map((farm) => `  - { id: ${farm}, name: F, timezone: UTC }\n`).join('')}sensors:${list.length > 0 ? `\n${list.join('')}` : ' []\n'}`,
          );
          const expected = sensors.find((s) =>
            given === ''
              ? s.secret === username
              : s.secret === given && (username === s.id || username === `${s.farm}/${s.id}`),
          );
          const found = identify(registry, username, Buffer.from(given));
          expect(found && [found.farm, found.sensor]).to.deep.equal(expected && [expected.farm, expected.id]);
        }),
        { numRuns: 2_000 },
      );
    });
  });

  describe('a certificate', () => {
    let ca: Papers;
    let url: string;
    before(async () => {
      ca = await authority();
    });
    async function startTls(): Promise<Broker> {
      const certificate = await writePapers(await temporaryFolder(), await signed('broker', ca), ca);
      const log = silent;
      broker = new Broker({ host: '127.0.0.1', port: 0, tlsPort: 0, certificate, queue, registry: book, log });
      await broker.start();
      url = `mqtts://127.0.0.1:${broker.ports.mqtts}`;
      return broker;
    }
    const showing = async (name: string, more: IClientOptions = {}) => ({
      ...(await signed(name, ca)),
      ca: ca.cert,
      ...more,
    });
    async function isOf(farm: FarmId, options: IClientOptions): Promise<void> {
      await say(await connect(options, url), farm, 'a1');
      expect((await takeOut(queue, 1)).map(place)).to.deep.equal([[farm, 'f1', 'a1', `"${farm}"`]]);
    }

    it('names farm and id, beside a user name that means the same sensor, or none', async () => {
      await startTls();
      for (const farm of ON_BOTH) {
        for (const username of [undefined, 'a1', `${farm}/a1`]) {
          await isOf(farm, await showing(`${farm}/a1`, username === undefined ? {} : { username }));
        }
      }
      for (const username of ['gate', 'south/a1', 'north/gate']) {
        expect(await refusal(await showing('north/a1', { username }), url), username).to.equal(4);
      }
      expect(await refusal(await showing('east/a1'), url)).to.equal(4);
    });

    it('that names an id is refused when two have it, and counted under that reason', async () => {
      const { counters } = await startTls();
      for (const more of [{}, { username: 'a1' }, { username: 'north/a1', password: 'north-a1' }]) {
        expect(await refusal(await showing('a1', more), url)).to.equal(4);
      }
      expect([counters.refusedAmbiguous, counters.refusedCredentials]).to.deep.equal([3, 0]);
    });

    it('that names an id is of the one that has it, or of the one that the registry marks', async () => {
      await startTls();
      book.change(farms({ south: ', cn: id' }));
      await isOf('south', await showing('a1'));
      await isOf('north', await showing('north/a1'));
      expect(await refusal(await showing('a1', { username: 'north/a1' }), url)).to.equal(4);
      book.change(farms().replace(/^.*id: a1, farm: south.*\n/m, ''));
      await isOf('north', await showing('a1'));
    });
  });

  it('sessions of one client id are two, with their own subscriptions, and neither ends the other', async () => {
    const started = await start();
    const both = await Promise.all(ON_BOTH.map((farm) => as(farm, 'a1', { clean: false })));
    for (const [i, farm] of ON_BOTH.entries()) {
      const own = `farms/${farm}/sensors/a1/commands`;
      const granted = await both[i]?.subscribeAsync(own, { qos: 1 });
      expect(granted?.map(({ qos }) => qos)).to.deep.equal([1]);
      expect(started.subscribers.hearing(farm, 'a1').map(({ identity }) => identity.farm)).to.deep.equal([farm]);
    }
    expect(both.map(({ connected }) => connected)).to.deep.equal([true, true]);
    const [ofNorth] = both;
    const foreign = await ofNorth?.subscribeAsync('farms/south/sensors/a1/commands', { qos: 1 }).catch(() => 'denied');
    expect(foreign).to.equal('denied');
    await ofNorth?.endAsync(true);
    await until('north’s sleeps', () => started.held.sessionsAsleep === 1);
    book.change(farms().replace(/^.*id: a1, farm: south.*\n/m, ''));
    await until('south’s has ended', () => !both[1]?.connected);
    expect(started.held.sessionsAsleep, 'north’s has not').to.equal(1);
  });

  it('bridges bring the same ids, each under its own farm, and what one may not does not concern the other', async () => {
    await start({ unregisteredSensors: 2 });
    const [north, south] = [await as('north', 'gate'), await as('south', 'gate')];
    for (const id of ['a1', 'x', 'y']) await say(north, 'north', id);
    await say(north, 'north', 'z');
    await say(north, 'south', 'a1', 'from north');
    for (const id of ['a1', 'y', 'z']) await say(south, 'south', id);
    expect((await takeOut(queue, 6)).map(place)).to.deep.equal([
      ['north', 'f1', 'a1', '"north"'],
      ['north', 'unassigned', 'x', '"north"'],
      ['north', 'unassigned', 'y', '"north"'],
      ['south', 'f1', 'a1', '"south"'],
      ['south', 'unassigned', 'y', '"south"'],
      ['south', 'unassigned', 'z', '"south"'],
    ]);
    expect(refused.map(({ farm, sensor, topic }) => [farm, sensor, topic])).to.deep.equal([
      ['north', 'gate', topicOf('z', 'north')],
      ['north', 'gate', topicOf('a1', 'south')],
    ]);
  });

  it('rates are their own: one that is slowed slows no other', async () => {
    book.change(farms({ north: ', rate: { messages: 1, burst: 2 }' }));
    await start();
    const [eager, other] = ON_BOTH.map((farm) => {
      const client = new RawClient(broker?.port ?? 0);
      clients.push(client);
      const password = Buffer.from(`${farm}-a1`);
      client.send({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clientId: 'x',
        clean: true,
        keepalive: 60,
        username: 'a1',
        password,
      });
      return client;
    });
    await until('both are in', () => eager?.of('connack').length === 1 && other?.of('connack').length === 1);
    for (let id = 1; id <= 6; id++) eager?.publish(topicOf('a1', 'north'), '{}', id);
    for (let id = 1; id <= 200; id++) other?.publish(topicOf('a1', 'south'), '{}', id);
    await until('the other has all its PUBACKs', () => other?.pubacks.length === 200);
    expect(eager?.pubacks.length).to.be.below(6);
    await until('it has them too', () => eager?.pubacks.length === 6);
  });

  it('too many refused publishes disconnect the sensor that sent them, not its namesake', async () => {
    await start({ refusedPublishes: 3 });
    const [north, south] = [await as('north', 'a1'), await as('south', 'a1')];
    for (let i = 0; i < 5; i++) north.publish(topicOf('a1', 'south'), '{}', { qos: 1 });
    await until('north’s is closed', () => !north.connected);
    await south.publishAsync(topicOf('a1', 'north'), '{}', { qos: 1 });
    await say(south, 'south', 'a1');
    expect(south.connected).to.equal(true);
    expect(refused.map(({ farm }) => farm)).to.include.members(['north', 'south']);
  });

  it('commands go to the sensor of the farm that they are for, or to its bridge', async () => {
    const log: Log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    const stations = new Stations(queue, log);
    stations.book.change(farms());
    try {
      const station = await stations.start({ alone: true });
      const listen = (farm: FarmId, username: string, sensor: string) =>
        stations.listen(station, username, {
          username,
          password: `${farm}-${username}`,
          filter: `farms/${farm}/sensors/${sensor}/commands`,
        });
      const peers = [
        await listen('north', 'a1', 'a1'),
        await listen('south', 'a1', 'a1'),
        await listen('north', 'gate', '+'),
        await listen('south', 'gate', '+'),
      ];
      for (const farm of ON_BOTH) {
        for (const sensor of ['a1', 'x']) await station.commands.send({ ...wish(sensor, `${farm} ${sensor}`), farm });
      }
      const taken = [];
      for (const peer of peers) taken.push(...(await take(peer, 1)));
      expect(taken).to.deep.equal(['north a1', 'south a1', 'north x', 'south x']);
    } finally {
      await stations.stop();
      await log.close();
    }
  });

  it('a source brings any id under its own farm', async () => {
    const mosquitto = await startMosquitto();
    const dead = await openFileLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
    const described = ON_BOTH.map(
      (farm) =>
        `  - { id: from-${farm}, farm: ${farm}, url: "${mosquitto.url}", topics: ["farms/${farm}/#", "v3/${farm}/#", "wrong/${farm}/#"] }\n`,
    );
    const registry = new Book(`${farms()}sources:\n${described.join('')}`);
    const sources = new Sources({ queue, dead, registry, metrics: new Metrics(), log: silent });
    try {
      await sources.start();
      await until('both are connected', () => sources.health().every(({ ok }) => ok));
      const client = await connect({}, mosquitto.url);
      for (const farm of ON_BOTH) await say(client, farm, 'a1');
      for (const farm of ON_BOTH) await client.publishAsync(`v3/${farm}/devices/x/up`, farm, { qos: 1 });
      for (const farm of ON_BOTH) await client.publishAsync(`wrong/${farm}`, farm, { qos: 1 });
      expect((await takeOut(queue, 4)).map(place)).to.have.deep.members([
        ['north', 'f1', 'a1', '"north"'],
        ['south', 'f1', 'a1', '"south"'],
        ['north', 'unassigned', 'x', 'north'],
        ['south', 'unassigned', 'x', 'south'],
      ]);
      const letters = () => dead.read('first', 10);
      await until('what is wrong is set aside', async () => (await letters()).length === 2);
      const kept = (await letters()).map(({ body }) => decodeDead(body).publish);
      expect(kept.map(({ farm, sensor }) => [farm, sensor])).to.have.deep.members([
        ['north', 'from-north'],
        ['south', 'from-south'],
      ]);
    } finally {
      await sources.stop(2_000);
      await dead.close();
      await mosquitto.close();
    }
  });
});
