import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { WebSocket } from 'ws';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { Networks } from '../../core/networks.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, type Papers, signed, writePapers } from './certificates.ts';
import { FARMS, RawClient, registryOf, startBroker, takeOut, topicOf } from './harness.ts';

describe('the broker’s other ways in', () => {
  let queue: Queue;
  let broker: Broker | undefined;
  let ca: Papers;
  let server: Papers;
  const clients: { end(force?: boolean): unknown }[] = [];

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
    ca = await authority();
    server = await signed('broker', ca);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker?.stop(2_000);
    broker = undefined;
  });
  after(() => queue.close());

  async function start(options: Partial<BrokerOptions> = {}): Promise<Broker> {
    const certificate = await writePapers(await temporaryFolder(), server, ca);
    const all = { host: '127.0.0.1', port: 0, tlsPort: 0, wsPort: 0, wssPort: 0, certificate };
    broker = new Broker({ ...all, queue, registry: new Book(FARMS), log: silent, ...options });
    await broker.start();
    return broker;
  }
  async function mqttTo(url: string, options: IClientOptions = {}): Promise<MqttClient> {
    const client = await mqtt.connectAsync(
      url,
      { reconnectPeriod: 0, connectTimeout: 5_000, ca: ca.cert, ...options },
      false,
    );
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  const asA1 = { username: 'a1', password: 'secret-a1' };
  async function keeps(client: MqttClient, sensor = 'a1'): Promise<void> {
    await client.publishAsync(topicOf(sensor), '{"n":1}', { qos: 1 });
    const [taken] = await takeOut(queue, 1);
    expect(taken).to.include({ sensor, topic: topicOf(sensor) });
  }
  /** Resolves with the code of the broker's no, or with what ended the connection. */
  const refusalOf = (url: string, options: IClientOptions): Promise<unknown> =>
    mqttTo(url, options).then(
      () => 'let in',
      (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
    );
  const urls = ({ ports: { mqtts = 0, ws = 0, wss = 0 } }: Broker) => ({
    mqtts: `mqtts://127.0.0.1:${mqtts}`,
    ws: `ws://127.0.0.1:${ws}/mqtt`,
    wss: `wss://127.0.0.1:${wss}/mqtt`,
  });

  for (const way of ['mqtts', 'ws', 'wss'] as const) {
    it(`${way}: a sensor publishes, and PUBACK comes after the queue has it`, async () => {
      const client = await mqttTo(urls(await start())[way], asA1);
      await keeps(client);
      const big = JSON.stringify({ note: 'x'.repeat(60_000) });
      await client.publishAsync(topicOf('a1'), big, { qos: 1 });
      const [taken] = await takeOut(queue, 1);
      expect(Buffer.from(taken?.payload ?? []).toString()).to.equal(big);
    });

    it(`${way}: wrong credentials are answered with CONNACK 4, and a client that goes is forgotten`, async () => {
      const started = await start();
      const url = urls(started)[way];
      expect(await refusalOf(url, { username: 'a1', password: 'wrong' })).to.equal(4);
      const client = await mqttTo(url, asA1);
      expect(started.clients).to.equal(1);
      client.stream.destroy();
      await until('it is forgotten', () => started.clients === 0);
    });

    it(`${way}: stopping sends the PUBACKs of what the queue has, and closes every client`, async () => {
      const started = await start();
      const client = await mqttTo(urls(started)[way], asA1);
      const sent = Promise.all(
        Array.from({ length: 50 }, (_, n) => client.publishAsync(topicOf('a1'), `{"n":${n}}`, { qos: 1 })),
      );
      await until('they have arrived', () => started.counters.received === 50);
      const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
      await started.stop(5_000);
      await sent;
      await closed;
      await takeOut(queue, 50);
    });
  }

  describe('TLS', () => {
    async function handshake(options: ConnectionOptions, port = broker?.ports.mqtts ?? 0): Promise<TLSSocket> {
      const socket = connectTls({ port, host: '127.0.0.1', ca: ca.cert, servername: 'localhost', ...options });
      socket.on('error', () => {});
      clients.push({ end: () => socket.destroy() });
      await once(socket, 'secureConnect');
      return socket;
    }

    it('is 1.2 or later', async () => {
      await start();
      expect((await handshake({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })).getProtocol()).to.equal('TLSv1.2');
      expect((await handshake({ minVersion: 'TLSv1.3' })).getProtocol()).to.equal('TLSv1.3');
      const old = await handshake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }).then(
        () => 'let in',
        () => 'refused',
      );
      expect(old).to.equal('refused');
      await until('the failure is counted', () => broker?.counters.refusedTls === 1);
    });

    it('a handshake that never comes is not waited for, and counts against its address no longer', async () => {
      await start({ limits: { connectMs: 300, connections: 1 } });
      const socket = connectTcp({ port: broker?.ports.mqtts ?? 0, host: '127.0.0.1' });
      socket.on('error', () => {});
      await once(socket, 'close');
      await until(
        'there is room again',
        async () => (await refusalOf(urls(broker ?? fail()).mqtts, asA1)) === 'let in',
      );
    });

    it('a certificate that is renewed on disk is shown without a restart, and connections stay', async () => {
      const folder = await temporaryFolder();
      await start({ certificate: await writePapers(folder, server, ca) });
      const before = await mqttTo(urls(broker ?? fail()).mqtts, asA1);
      const renewed = await signed('broker renewed', ca);
      const shown = async () => {
        const socket = await handshake({});
        const { CN } = socket.getPeerCertificate().subject;
        socket.destroy();
        return CN;
      };
      expect(await shown()).to.equal('broker');
      // First one file, as renewals do: the two do not fit together, and what was in force stays.
      await writeFile(`${folder}/cert.pem`, renewed.cert);
      expect(await shown()).to.equal('broker');
      await writeFile(`${folder}/key.pem`, renewed.key);
      await until('the new certificate is shown', async () => (await shown()) === 'broker renewed');
      await keeps(before);
    });

    it('files that are not there, are no certificate or do not belong together are named by their setting', async () => {
      const other = await signed('other', ca);
      const settingOf = async (spoil: (folder: string) => Promise<unknown>) => {
        const folder = await temporaryFolder();
        const certificate = await writePapers(folder, server, ca);
        await spoil(folder);
        const error = await start({ certificate }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).to.be.instanceOf(ConfigInvalid);
        return error instanceof ConfigInvalid ? error.setting : '';
      };
      expect(await settingOf((folder) => rm(`${folder}/cert.pem`))).to.equal('LOAM_TLS_CERT');
      expect(await settingOf((folder) => writeFile(`${folder}/cert.pem`, 'no'))).to.equal('LOAM_TLS_CERT');
      expect(await settingOf((folder) => rm(`${folder}/key.pem`))).to.equal('LOAM_TLS_KEY');
      expect(await settingOf((folder) => writeFile(`${folder}/key.pem`, other.key))).to.equal('LOAM_TLS_KEY');
      const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
      });
      expect(await settingOf((folder) => writeFile(`${folder}/key.pem`, rsa))).to.equal('LOAM_TLS_KEY');
      expect(await settingOf((folder) => writeFile(`${folder}/ca.pem`, 'no'))).to.equal('LOAM_TLS_CA');
    });
  });

  describe('a client certificate', () => {
    const hasSecret = { a1: 'a1', a2: 'a2' };

    for (const way of ['mqtts', 'wss'] as const) {
      it(`${way}: that the CA has signed lets in the sensor of its common name, without a password`, async () => {
        const { cert, key } = await signed('a2', ca);
        await keeps(await mqttTo(urls(await start())[way], { cert, key }), 'a2');
      });

      it(`${way}: that the CA has not signed, or that has ended, ends the connection, whatever the password`, async () => {
        const started = await start();
        const yesterday = new Date(Date.now() - 86_400_000);
        const worthless = [await signed('a1'), await signed('a1', await authority('Another CA'))];
        worthless.push(await signed('a1', ca, new Date(Date.now() - 2 * 86_400_000), yesterday));
        for (const { cert, key } of worthless) {
          expect(await refusalOf(urls(started)[way], { cert, key, ...asA1 })).not.to.be.oneOf(['let in', 4, 5]);
        }
        expect(started.counters.refusedTls).to.equal(worthless.length);
        expect(started.counters.accepted).to.equal(0);
      });
    }

    it('of nobody, or with another’s username, is refused', async () => {
      const { mqtts } = urls(await start());
      expect(await refusalOf(mqtts, { ...(await signed('nobody', ca)) })).to.equal(4);
      expect(await refusalOf(mqtts, { ...(await signed('a2', ca)), username: 'a1', password: 'secret-a1' })).to.equal(
        4,
      );
    });

    it('is not needed: a sensor without one brings its secret', async () => {
      await keeps(await mqttTo(urls(await start()).mqtts, asA1));
    });

    it('is let in again after a new secret has ended its session, and no more when the sensor has left the registry', async () => {
      const book = new Book(FARMS);
      const { mqtts } = urls(await start({ registry: book }));
      const [one, two] = [await signed('a1', ca), await signed('a2', ca)];
      const before = [await mqttTo(mqtts, one), await mqttTo(mqtts, two)];
      book.change(registryOf({ ...hasSecret, a1: 'another', a2: null }));
      await until('both are gone', () => before.every((client) => !client.connected));
      await keeps(await mqttTo(mqtts, one));
      expect(await refusalOf(mqtts, { ...two })).to.equal(4);
    });

    it('leaves no session to who comes with the secret: that ends when the secret is changed', async () => {
      const book = new Book(FARMS);
      const { mqtts } = urls(await start({ registry: book }));
      const session = { clientId: 'meter', clean: false };
      await (await mqttTo(mqtts, { ...(await signed('a1', ca)), ...session })).endAsync();
      const client = await mqttTo(mqtts, { ...asA1, ...session });
      book.change(registryOf({ ...hasSecret, a1: 'another' }));
      await until('it is disconnected', () => !client.connected);
    });

    it('is not asked for without a CA', async () => {
      const certificate = await writePapers(await temporaryFolder(), server);
      const { mqtts } = urls(await start({ certificate }));
      expect(await refusalOf(mqtts, { ...(await signed('a1', ca)) })).to.equal(4);
    });
  });

  describe('WebSocket', () => {
    async function open(path: string, protocol: string | string[]): Promise<WebSocket> {
      const socket = new WebSocket(`ws://127.0.0.1:${broker?.ports.ws}${path}`, protocol);
      socket.on('error', () => {});
      clients.push({ end: () => socket.terminate() });
      return socket;
    }
    const CONNECT = mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'w',
      clean: true,
      keepalive: 60,
      username: 'a1',
      password: Buffer.from('secret-a1'),
    });

    it('is answered with subprotocol mqtt [MQTT-6.0.0-4], and refused on another path or without it', async () => {
      await start();
      const good = await open('/mqtt', ['mqttv3.1', 'mqtt']);
      await once(good, 'open');
      expect(good.protocol).to.equal('mqtt');
      for (const [path, protocol] of [
        ['/other', 'mqtt'],
        ['/mqtt', 'loam.v1'],
        ['/mqtt', []],
      ] as const) {
        const bad = await open(path, [protocol].flat());
        await until('it is refused', () => bad.readyState === WebSocket.CLOSED);
        expect(bad.protocol).to.equal('');
      }
    });

    it('takes packets cut and joined anywhere [MQTT-6.0.0-2]', async () => {
      await start();
      const socket = await open('/mqtt', 'mqtt');
      await once(socket, 'open');
      const publish = mqttPacket.generate({
        cmd: 'publish',
        topic: topicOf('a1'),
        payload: '{"n":1}',
        qos: 1,
        messageId: 1,
        dup: false,
        retain: false,
      });
      const bytes = Buffer.concat([CONNECT, publish, publish]);
      const answers: Buffer[] = [];
      socket.on('message', (data: Buffer) => answers.push(data));
      for (let at = 0; at < bytes.length; at += 7) socket.send(bytes.subarray(at, at + 7));
      await until('CONNACK and two PUBACKs', () => Buffer.concat(answers).length === 12);
      await takeOut(queue, 2);
    });

    it('ends at a text [MQTT-6.0.0-1] and at a message that is too large', async () => {
      const started = await start();
      for (const message of ['{"hello":1}', Buffer.alloc(300 * 1024)]) {
        const socket = await open('/mqtt', 'mqtt');
        await once(socket, 'open');
        socket.send(CONNECT);
        await once(socket, 'message');
        socket.send(message);
        await once(socket, 'close');
        await until('it is forgotten', () => started.clients === 0);
      }
    });

    it('answers plain HTTP with 426', async () => {
      await start();
      expect((await fetch(`http://127.0.0.1:${broker?.ports.ws}/mqtt`)).status).to.equal(426);
    });
  });

  describe('addresses', () => {
    it('behind a proxy that is trusted are those of its clients, each with a limit of its own, and of nobody else', async () => {
      const limits = { connectionsPerAddress: 1 };
      const trustedProxies = Networks.parse('127.0.0.1') ?? new Networks();
      const { ws } = urls(await start({ limits, trustedProxies }));
      const from = (client: string) => ({ ...asA1, wsOptions: { headers: { 'x-forwarded-for': client } } });
      // What a client writes there itself stands before what the proxy adds.
      for (const client of ['203.0.113.1', '203.0.113.9, 203.0.113.2'])
        await mqttTo(ws, { ...from(client), clientId: client });
      expect(await refusalOf(ws, { ...from('203.0.113.9, 203.0.113.1'), clientId: 'more' })).to.not.equal('let in');
      await broker?.stop(2_000);
      const wary = urls(await start({ limits }));
      await mqttTo(wary.ws, { ...from('203.0.113.1'), clientId: 'one' });
      expect(await refusalOf(wary.ws, { ...from('203.0.113.2'), clientId: 'two' })).to.not.equal('let in');
    });

    it('have a limit of connections, over every port together', async () => {
      const started = await start({ limits: { connectionsPerAddress: 2 } });
      await mqttTo(urls(started).mqtts, asA1);
      const second = await mqttTo(urls(started).ws, { ...asA1, clientId: 'second' });
      const raw = new RawClient(started.port);
      clients.push(raw);
      await until('the third is closed', () => raw.closed);
      expect(started.counters.refusedConnections).to.equal(1);
      await second.endAsync();
      await until('there is room again', async () => (await refusalOf(urls(started).wss, asA1)) === 'let in');
    });

    it('with wrong credentials again and again wait longer and longer for the answer, and nobody else does', async () => {
      broker = await startBroker(queue);
      const { port } = broker;
      const guess = (): RawClient => {
        const client = new RawClient(port);
        clients.push(client);
        client.greet('a1-wrong');
        return client;
      };
      for (let i = 0; i < 5; i++) {
        const client = guess();
        await until('CONNACK', () => client.of('connack').length === 1);
      }
      expect(broker.counters.slowedCredentials).to.equal(0);
      const slowed = Array.from({ length: 6 }, guess);
      await until('they have been judged', () => broker?.counters.slowedCredentials === 6);
      const honest = await mqttTo(`mqtt://127.0.0.1:${port}`, asA1);
      expect(honest.connected).to.equal(true);
      expect(slowed.at(-1)?.of('connack')).to.deep.equal([]);
      await until('the first is answered', () => slowed[0]?.of('connack').length === 1);
      const [connack] = slowed[0]?.of('connack') ?? [];
      expect(connack).to.include({ returnCode: 4 });
    });
  });
});

function fail(): never {
  throw new Error('no broker');
}
