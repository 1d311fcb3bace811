import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import type { IClientOptions, MqttClient } from 'mqtt';
import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import { type Log, REFUSALS_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { decodeDead } from '../../telemetry/batch.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, type Papers, signed, writePapers } from './certificates.ts';
import { connectAs, FARMS, RawClient, startBroker, topicOf } from './harness.ts';

const ONE_FARM = `farms:
  - { id: north, name: North, timezone: Europe/Berlin }
sensors:
  - { id: p7, farm: north }
`;

describe('whom the broker refuses', () => {
  let queue: Queue;
  let broker: Broker | undefined;
  let ca: Papers;
  const told: RefusalNote[] = [];
  const clients: MqttClient[] = [];

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
    ca = await authority();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker?.stop(2_000);
    broker = undefined;
    told.length = 0;
  });
  after(() => queue.close());

  const refused = (note: RefusalNote) => void told.push(note);
  const last = () => until('it is told', () => told.at(-1));

  async function start(options: Parameters<typeof startBroker>[1] = {}): Promise<number> {
    broker = await startBroker(queue, { refused, ...options });
    return broker.port;
  }
  async function refusalOf(port: number, sensor: string, options: IClientOptions = {}): Promise<RefusalNote> {
    const before = told.length;
    await connectAs(port, sensor, options).then(
      (client) => clients.push(client),
      () => {},
    );
    return await until('a refusal', () => told[before]);
  }

  it('is told with the address and the reason, and without what was shown as a secret', async () => {
    const port = await start();
    const of = { kind: 'mqtt_refused', from: '127.0.0.1' };
    expect(await refusalOf(port, 'a1', { password: 'old' })).to.include({ ...of, why: 'wrong_password', who: 'a1' });
    expect(await refusalOf(port, 'nobody')).to.include({ ...of, why: 'unknown_name', who: 'nobody' });
    expect(await refusalOf(port, 'a1', { password: '' })).to.include({ ...of, why: 'no_password', who: 'a1' });
    const alone = await refusalOf(port, 'what-might-be-a-secret', { password: '' });
    expect(alone).to.deep.equal({ ...of, why: 'unknown_secret' });
    expect(await refusalOf(port, 'secret-a1', { password: 'a1' })).to.deep.equal({ ...of, why: 'secret_as_name' });
    const long = await refusalOf(port, 'x'.repeat(40));
    expect(long.who).to.equal('xxxxxx…');
    expect(JSON.stringify(told)).to.not.match(/old|secret-/);
  });

  it('is a farm’s when the client names the farm, or when there is no other', async () => {
    const port = await start();
    const named = await refusalOf(port, 'north/a1', { password: 'old' });
    expect(named).to.include({ why: 'wrong_password', farm: 'north', sensor: 'a1', isKnown: true });
    const typo = await refusalOf(port, 'north/a9', { password: 'old' });
    expect(typo).to.include({ why: 'unknown_name', farm: 'north', sensor: 'a9', isKnown: false });
    expect(await refusalOf(port, 'west/a1')).to.not.have.property('farm');
    expect(await refusalOf(port, 'a1', { password: 'old' })).to.not.have.property('farm');
    await broker?.stop(2_000);
    const alone = await refusalOf(await start({ registry: new Book(ONE_FARM) }), 'p7');
    expect(alone).to.include({ why: 'wrong_password', farm: 'north', sensor: 'p7' });
  });

  it('is the sensor’s own when its secret was right: a will, a client id, another version of MQTT', async () => {
    const port = await start();
    const own = { kind: 'mqtt_refused', farm: 'north', sensor: 'a1', who: 'north/a1' };
    const will = {
      topic: 'farms/south/sensors/a1/telemetry',
      payload: Buffer.from('Offline'),
      qos: 0,
      retain: false,
    } as const;
    const refusedWill = await refusalOf(port, 'a1', { will });
    expect(refusedWill).to.include({ ...own, why: 'will' });
    expect(refusedWill.what).to.include('"farms/south/sensors/a1/telemetry"').and.include(topicOf('a1'));
    expect(await refusalOf(port, 'a1', { clientId: 'c'.repeat(300) })).to.include({ ...own, why: 'client_id' });
    const newer = await refusalOf(port, 'a1', { protocolVersion: 5 });
    expect(newer).to.include({ ...own, why: 'protocol' });
    expect(newer.what).to.include('3.1.1');
    const wrong = await refusalOf(port, 'north/a1', { protocolVersion: 5, password: 'old' });
    expect(wrong).to.include({ why: 'protocol', farm: 'north', sensor: 'a1' });
  });

  it('is told of what is no MQTT, of packets that are too large, and whose they are', async () => {
    const port = await start();
    const stranger = new RawClient(port);
    stranger.socket.write('GET / HTTP/1.1\r\n\r\n');
    expect(await last()).to.include({ why: 'not_mqtt', from: '127.0.0.1' });
    const sensor = await connectAs(port, 'a1');
    clients.push(sensor);
    sensor.on('error', () => {});
    sensor.publish(topicOf('a1'), 'A'.repeat(300_000), { qos: 1 });
    const large = await until('a refusal', () => told[1]);
    expect(large).to.include({ why: 'too_large', farm: 'north', sensor: 'a1' });
    expect(large.what).to.include('300000').and.include('262144');
  });

  it('is told of connections beyond the limit, and of certificates that nobody has signed', async () => {
    const port = await start({ limits: { connectionsPerAddress: 1 } });
    const first = new RawClient(port);
    first.greet('a1');
    await until('it is in', () => first.packets.length > 0);
    new RawClient(port);
    expect(await last()).to.include({ why: 'too_many_connections', from: '127.0.0.1' });
    first.socket.destroy();
    await broker?.stop(2_000);

    const certificate = await writePapers(await temporaryFolder(), await signed('broker', ca), ca);
    const all: BrokerOptions = {
      host: '127.0.0.1',
      port: 0,
      tlsPort: 0,
      queue,
      registry: new Book(FARMS),
      log: silent,
    };
    broker = new Broker({ ...all, certificate, refused });
    await broker.start();
    const { cert, key } = await signed('a1');
    const socket = connectTls({ port: broker.ports.mqtts ?? 0, host: '127.0.0.1', ca: ca.cert, cert, key });
    socket.on('error', () => {});
    await once(socket, 'close');
    expect(await last()).to.include({ why: 'certificate', from: '127.0.0.1' });
  });

  it('is not who takes over a connection with its own client id, which is told too', async () => {
    const port = await start();
    const first = new RawClient(port);
    first.greet('a1', { clientId: 'twin' });
    await until('the first is in', () => first.packets.length > 0);
    const second = new RawClient(port);
    second.greet('a1', { clientId: 'twin' });
    await until('the second is in', () => second.packets.length > 0);
    expect(told).to.have.length(1);
    expect(await last()).to.include({ kind: 'taken_over', why: 'same_client_id', farm: 'north', sensor: 'a1' });
    expect(told[0]?.what).to.include('"twin"');
    second.socket.destroy();
    await until('it has gone', () => broker?.clients === 0);
    const third = new RawClient(port);
    third.greet('a1', { clientId: 'twin' });
    await until('the third is in', () => third.packets.length > 0);
    expect(told, 'nobody was there any more').to.have.length(1);
    third.socket.destroy();
  });

  it('learns from its dead letter which topic would be right', async () => {
    const dead: Log = await openFileLog(await temporaryFolder(), 'dead', REFUSALS_LOG_LIMITS);
    broker = new Broker({ host: '127.0.0.1', port: 0, queue, dead, registry: new Book(FARMS), log: silent });
    await broker.start();
    for (const [id, topic] of [
      ['a1', 'sensors/a1/data'],
      ['gate', 'farms/south/sensors/b1/telemetry'],
    ] as const) {
      const client = await connectAs(broker.port, id);
      clients.push(client);
      await client.publishAsync(topic, '{}', { qos: 1 });
    }
    const letters = (await dead.read('first', 10)).map(({ body }) => decodeDead(body));
    expect(letters.map(({ explanation }) => explanation)).to.deep.equal([
      'this client may not publish to "sensors/a1/data"; it may to farms/north/sensors/a1/telemetry',
      'this client may not publish to "farms/south/sensors/b1/telemetry"; it may to farms/north/sensors/ID/telemetry, where ID is any sensor of its farm',
    ]);
    await dead.close();
  });
});
