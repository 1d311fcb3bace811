import { createServer } from 'node:net';
import { expect } from 'chai';
import mqttPacket from 'mqtt-packet';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, FARMS, publishPacket, RawClient, startBroker, takeOut, topicOf } from './harness.ts';

describe('the broker at the socket', () => {
  let queue: Queue;
  let broker: Broker;
  const clients: RawClient[] = [];

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
  });
  beforeEach(async () => {
    broker = await startBroker(queue, { limits: { connections: 20 } });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end();
    await broker.stop(2_000);
  });
  after(() => queue.close());

  function raw(): RawClient {
    const client = new RawClient(broker.port);
    clients.push(client);
    return client;
  }
  /** The fixed header of a packet that claims `length` bytes to come. */
  function header(firstByte: number, length: number): Buffer {
    const bytes = [firstByte];
    for (let left = length; ; left = Math.floor(left / 128)) {
      bytes.push((left % 128) | (left >= 128 ? 0x80 : 0));
      if (left < 128) return Buffer.from(bytes);
    }
  }
  const isClosed = (client: RawClient) => until('the socket is closed', () => client.closed);

  it('closes a client that announces a packet over the limit that is no publish at its header, before a byte of it has come', async () => {
    const client = raw();
    client.greet('a1');
    await until('CONNACK', () => client.of('connack').length === 1);
    client.socket.write(header(0x82, 64 * 1024 + 1));
    await isClosed(client);
    expect(broker.counters.oversize).to.equal(1);
  });

  it('closes whoever announces a huge CONNECT, or begins with anything else', async () => {
    for (const bytes of [
      header(0x10, 64 * 2 ** 20),
      header(0x10, 9_000),
      header(0x32, 20),
      Buffer.from('GET / HTTP/1.1'),
    ]) {
      const client = raw();
      client.socket.write(bytes);
      await isClosed(client);
      expect(client.packets).to.deep.equal([]);
    }
  });

  it('closes a client whose length never ends', async () => {
    const client = raw();
    client.greet('a1');
    await until('CONNACK', () => client.of('connack').length === 1);
    client.socket.write(Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0xff]));
    await isClosed(client);
    expect(broker.counters.malformed).to.equal(1);
  });

  it('takes a payload just within the limit', async () => {
    const client = await connectAs(broker.port, 'a1');
    const payload = Buffer.alloc(256 * 1024, 'x');
    await client.publishAsync(topicOf('a1'), payload, { qos: 1 });
    const [taken] = await takeOut(queue, 1);
    expect(taken?.payload).to.have.length(payload.length);
    await client.endAsync();
  });

  it('understands packets that come one byte at a time', async () => {
    const client = raw();
    const connect = mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'slow',
      clean: true,
      keepalive: 60,
      username: 'a1',
      password: Buffer.from('secret-a1'),
    });
    const publish = mqttPacket.generate(publishPacket(topicOf('a1'), '{"n":1}', 1));
    for (const byte of Buffer.concat([connect, publish])) {
      await new Promise((resolve) => client.socket.write(Buffer.from([byte]), resolve));
    }
    await until('PUBACK', () => client.pubacks.length === 1);
    await takeOut(queue, 1);
  });

  it('takes publishes that follow CONNECT without waiting for its answer, however many', async () => {
    const client = raw();
    client.greet('a1');
    client.send(...Array.from({ length: 200 }, (_, i) => publishPacket(topicOf('a1'), '{}', i + 1)));
    await until('all PUBACKs', () => client.pubacks.length === 200);
    await takeOut(queue, 200);
  });

  it('takes QoS 0 publishes of a client that leaves right after them', async () => {
    const client = raw();
    client.greet('a1');
    client.send(...Array.from({ length: 1_000 }, () => publishPacket(topicOf('a1'), '{}', 0)), { cmd: 'disconnect' });
    client.socket.end();
    expect(await takeOut(queue, 1_000)).to.have.length(1_000);
  });

  it('lets go of everything a client held when it goes away', async () => {
    const client = raw();
    client.greet('a1');
    await until('the client is let in', () => broker.clients === 1);
    client.end();
    await until('it is forgotten', () => broker.clients === 0);
  });

  it('has a limit of connections, and closes what is over it', async () => {
    const held = Array.from({ length: 20 }, () => raw());
    for (const [i, client] of held.entries()) client.greet('a1', { clientId: `c${i}` });
    await until('all are let in', () => broker.clients === 20);
    const over = raw();
    await isClosed(over);
    expect(broker.counters.refusedConnections).to.equal(1);
    expect(held.some((client) => client.closed)).to.equal(false);
  });

  it('lets 1,000 sensors in that come back at once after a power cut, each with its secret', async () => {
    await broker.stop(2_000);
    const ids = Array.from({ length: 1_000 }, (_, i) => `p${i}`);
    const sensors = ids.map((id) => `  - { id: ${id}, farm: north, secret: ${hashSecret(`secret-${id}`)} }`).join('\n');
    broker = await startBroker(queue, { registry: new Book(`${FARMS}${sensors}\n`) });
    for (const round of ['first', 'second']) {
      const all = ids.map((id) => {
        const client = raw();
        client.greet(id, { clientId: id, clean: false });
        return client;
      });
      await until(`all are in, the ${round} time`, () => broker.clients === ids.length, { timeoutMs: 40_000 });
      await until('all have their answer', () => all.every((client) => client.of('connack').length === 1));
      const answers = all.map((client) => client.of('connack')[0]);
      expect(answers.every((answer) => answer?.cmd === 'connack' && answer.returnCode === 0)).to.equal(true);
      for (const client of all) client.socket.resetAndDestroy();
      await until('all are gone', () => broker.clients === 0);
    }
    expect(broker.counters.refusedCredentials + broker.counters.refusedConnections).to.equal(0);
  });

  describe('when it cannot listen', () => {
    async function settingOf(host: string, port: number): Promise<string> {
      const other = new Broker({ host, port, queue, registry: new Book(FARMS), log: silent });
      try {
        await other.start();
      } catch (error) {
        if (error instanceof ConfigInvalid) {
          expect(error.message).to.include(error.setting).and.not.include('\n');
          return error.setting;
        }
        throw error;
      }
      await other.stop(1_000);
      return 'none: it listens';
    }

    it('says that the port is the cause when it is taken', async () => {
      expect(await settingOf('127.0.0.1', broker.port)).to.equal('LOAM_MQTT_PORT');
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      const address = other.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      expect(await settingOf('127.0.0.1', port)).to.equal('LOAM_MQTT_PORT');
      other.close();
    });

    it('says that the host is the cause when this machine has no such address', async () => {
      expect(await settingOf('192.0.2.1', 0)).to.equal('LOAM_MQTT_HOST');
    });
  });

  it('stops twice without harm, and takes nobody any more', async () => {
    const { port } = broker;
    await broker.stop(1_000);
    await broker.stop(1_000);
    const late = new RawClient(port);
    clients.push(late);
    await isClosed(late);
    expect(late.packets).to.deep.equal([]);
  });
});
