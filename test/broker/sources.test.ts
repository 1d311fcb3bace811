import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import pino from 'pino';
import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import { DEAD_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { Sources, type SourcesOptions } from '../../broker/sources/sources.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { pause } from '../../core/timing.ts';
import { decodeBatch, decodeDead, type Publish } from '../../telemetry/batch.ts';
import { type MosquittoServer, startMosquitto } from '../services/mosquitto.ts';
import { startProxy } from '../services/proxy.ts';
import { Book } from '../services/registry.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { authority, signed, writePapers } from './certificates.ts';
import { connectAs, FARMS, startBroker, topicOf, Valve } from './harness.ts';

describe('sources: readings from other brokers', function () {
  this.timeout(90_000);
  let inner: Queue;
  let queue: Valve;
  let dead: Log;
  let mosquitto: MosquittoServer;
  let book: Book;
  let metrics: Metrics;
  let sources: Sources | undefined;
  const kept: Publish[] = [];
  const clients: MqttClient[] = [];
  let serial = 0;

  before(async () => {
    mosquitto = await startMosquitto({
      lines: ['max_inflight_messages 0', 'max_queued_messages 100000', 'max_packet_size 20000000'],
    });
  });
  after(() => mosquitto.close());
  beforeEach(async () => {
    serial += 1;
    inner = await openFileQueue(await temporaryFolder());
    queue = new Valve(inner);
    dead = await openFileLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
    kept.length = 0;
    await inner.consume(async ({ body }) => void kept.push(...decodeBatch(body).publishes), { prefetch: 1 });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    queue.letGo();
    queue.accept();
    await sources?.stop(2_000);
    sources = undefined;
    await inner.close();
    await dead.close();
  });

  /** The registry with sources in it, as YAML; each test's sessions have names of their own. */
  const withSources = (...lines: readonly string[]) =>
    `${FARMS}sources:\n${lines.map((line) => `  - { ${line}, clientId: loam-${serial}-${/id: (\w+)/.exec(line)?.[1]} }\n`).join('')}`;
  const plain = (more = '', url = mosquitto.url) =>
    `id: old, farm: north, url: "${url}", topics: ["farms/+/sensors/+/telemetry", "v3/+/devices/+/up", "application/+/device/+/event/up", "other/#"]${more}`;

  async function start(...lines: readonly string[]): Promise<Sources> {
    return await startWith({}, ...lines);
  }
  async function startWith(more: Partial<SourcesOptions>, ...lines: readonly string[]): Promise<Sources> {
    book = new Book(withSources(...lines));
    metrics = new Metrics();
    sources = new Sources({ queue, dead, registry: book, metrics, log: silent, ...more });
    await sources.start();
    return sources;
  }
  async function connected(id = 'old'): Promise<void> {
    await until(`source ${id} is connected`, () => healthOf(id)?.ok, { timeoutMs: 30_000 });
  }
  const healthOf = (id: string) => sources?.health().find(({ name }) => name === `source ${id}`);
  async function publisher(url = mosquitto.url, options: IClientOptions = {}): Promise<MqttClient> {
    const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ...options });
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  const payloads = () => kept.map(({ payload }) => Buffer.from(payload).toString());
  async function gets(...wanted: readonly string[]): Promise<void> {
    await until(`${wanted} in the queue`, () => wanted.every((payload) => payloads().includes(payload)), {
      timeoutMs: 40_000,
    });
  }
  async function counted(event: string, source = 'old'): Promise<number> {
    const line = new RegExp(`loam_source_events_total\\{source="${source}",event="${event}"\\} (\\d+)`);
    return Number(line.exec(await metrics.text())?.[1] ?? 0);
  }

  it('are taken for the sensors that topics name: Loam’s own, The Things Stack’s and ChirpStack’s', async () => {
    await start(plain());
    await connected();
    const client = await publisher();
    await client.publishAsync(topicOf('a1'), 'native', { qos: 1 });
    await client.publishAsync('v3/app@tenant/devices/eui-1/up', 'things', { qos: 1 });
    await client.publishAsync('application/7/device/0102030405060708/event/up', 'chirp', { qos: 1 });
    await client.publishAsync(topicOf('a2'), 'at most once', { qos: 0 });
    await gets('native', 'things', 'chirp', 'at most once');
    for (const { via } of kept) expect(via).to.deep.equal({ kind: 'source', id: 'old' });
    const places = kept.map(({ farm, field, sensor, topic }) => [farm, field, sensor, topic]);
    expect(places).to.have.deep.members([
      ['north', 'f1', 'a1', topicOf('a1')],
      ['north', 'unassigned', 'eui-1', 'v3/app@tenant/devices/eui-1/up'],
      ['north', 'unassigned', '0102030405060708', 'application/7/device/0102030405060708/event/up'],
      ['north', 'unassigned', 'a2', topicOf('a2')],
    ]);
    await until('all are acknowledged', async () => (await counted('acknowledged')) === 3);
  });

  it('are acknowledged after the queue has them, in their order, and come again when the line is cut before', async () => {
    const proxy = await startProxy(mosquitto.port);
    await start(plain('', `mqtt://127.0.0.1:${proxy.port}`));
    await connected();
    const client = await publisher();
    queue.hold();
    const all = Array.from({ length: 50 }, (_, i) => `held ${i}`);
    for (const payload of all) await client.publishAsync(topicOf('a1'), payload, { qos: 1 });
    await until('they are on their way, many at once', async () => (await counted('received')) === all.length);
    expect(await counted('acknowledged')).to.equal(0);

    queue.refuse('unavailable');
    proxy.cut();
    await until('the cut is seen', () => healthOf('old')?.ok === false);
    queue.letGo();
    queue.accept();
    proxy.restore();
    await gets(...all);
    await until('all are acknowledged', async () => (await counted('acknowledged')) === all.length);
    await until('they came again, in their order', () => isDeepStrictEqual(payloads().slice(-all.length), all));
    await proxy.close();
  });

  it('that another broker kept come all at once, each with a time of receipt of its own, also beside those of the MQTT port', async () => {
    const receipts = new Receipts({ log: silent });
    const first = await startWith({ receipts }, plain());
    await connected();
    await first.stop(2_000);
    const client = await publisher();
    const all = Array.from({ length: 200 }, (_, i) => `{"n":${i}}`);
    await Promise.all(all.map((payload) => client.publishAsync(topicOf('a1'), payload, { qos: 1 })));
    const broker = await startBroker(queue, { receipts });
    const own = await connectAs(broker.port, 'a1');
    await startWith({ receipts }, plain());
    await Promise.all(all.map((payload) => own.publishAsync(topicOf('a1'), payload, { qos: 1 })));
    await until('all are in the queue', () => kept.length >= 400, { timeoutMs: 40_000 });
    await own.endAsync();
    await broker.stop(2_000);
    expect(new Set(kept.map(({ received }) => received)).size).to.equal(400);
  });

  it('are not lost while Loam is away, nor when the source dies and comes back', async () => {
    const other = await startMosquitto({ lines: ['max_inflight_messages 0'] });
    const first = await start(plain('', other.url));
    await connected();
    await first.stop(2_000);
    const client = await publisher(other.url);
    await client.publishAsync(topicOf('a1'), 'while Loam is away', { qos: 1 });
    await start(plain('', other.url));
    await gets('while Loam is away');

    await other.stop();
    await until('the source is seen to be away', () => healthOf('old')?.ok === false);
    await other.start();
    const again = await publisher(other.url);
    await again.publishAsync(topicOf('a1'), 'when it is back', { qos: 1 });
    await gets('when it is back');
    await other.close();
  });

  it('come again from a source whose line went dead without a word, before CONNACK or after, and harms no other meanwhile', async () => {
    const line = await startProxy(mosquitto.port);
    const mute = await startProxy(mosquitto.port);
    mute.freeze();
    const behind = (id: string, { port }: { port: number }) =>
      plain('', `mqtt://127.0.0.1:${port}`).replace('id: old', `id: ${id}`);
    const timeouts = { connectMs: 1_000, keepaliveS: 1 };
    await startWith({ timeouts }, plain(), behind('dead', line), behind('mute', mute));
    await connected('dead');
    await connected();
    const lost = await counted('lost', 'dead');
    line.freeze();
    await until('both are seen to be away', () =>
      ['dead', 'mute'].every((id) => !/^(undefined|not connected yet)$/.test(String(healthOf(id)?.why))),
    );
    expect(await counted('lost', 'dead')).to.equal(lost + 1);
    const client = await publisher();
    await client.publishAsync(topicOf('a1'), 'meanwhile', { qos: 1 });
    await until('the other has it', async () => (await counted('acknowledged')) === 1);
    for (const proxy of [line, mute]) proxy.cut();
    for (const proxy of [line, mute]) {
      proxy.thaw();
      proxy.restore();
    }
    await connected('dead');
    await connected('mute');
    await until('what was kept for it comes', async () => (await counted('acknowledged', 'dead')) === 1);
    for (const proxy of [line, mute]) await proxy.close();
  });

  it('are held back, within bounds, while the queue is away, and all come when it is back', async () => {
    await start(plain());
    await connected();
    queue.refuse('unavailable');
    const client = await publisher();
    const all = Array.from({ length: 600 }, (_, i) => `waiting ${i}`);
    await Promise.all(all.map((payload) => client.publishAsync(topicOf('a1'), payload, { qos: 1 })));
    await until('the bound is reached', async () => (await counted('received')) >= 256);
    expect(await counted('received')).to.equal(256);
    expect(await counted('acknowledged')).to.equal(0);
    queue.accept();
    await gets(...all);
  });

  it('come over TLS, with user name and password from a file or a variable, and with a certificate', async () => {
    const folder = await temporaryFolder();
    const ca = await authority();
    const server = await writePapers(folder, await signed('localhost', ca), ca);
    const clientFolder = await temporaryFolder();
    const papers = await writePapers(clientFolder, await signed('loam', ca), ca);
    const secure = await startMosquitto({ tls: server, users: { loam: 'pass word' } });
    const passwordFile = join(clientFolder, 'password');
    await writeFile(passwordFile, 'pass word\n');
    process.env.SOURCE_PASSWORD_OF_TEST = 'pass word';
    const tls = `, ca: ${papers.ca}, cert: ${papers.cert}, key: ${papers.key}, username: loam`;
    await start(
      plain(`${tls}, passwordFile: ${passwordFile}`, secure.url),
      plain(`${tls}, passwordVariable: SOURCE_PASSWORD_OF_TEST`, secure.url).replace('id: old', 'id: new'),
      plain(`, username: loam, passwordFile: ${passwordFile}`, secure.url).replace('id: old', 'id: untrusting'),
    );
    await connected('old');
    await connected('new');
    await until('an unknown authority is refused', () => /certificate/.test(healthOf('untrusting')?.why ?? ''));
    delete process.env.SOURCE_PASSWORD_OF_TEST;
    await secure.close();
  });

  it('come with a password that is sealed in the registry; one that no key opens is off, and says which it needs', async () => {
    const secure = await startMosquitto({ users: { loam: 'pass word' } });
    const keys = new SecretKeys('k'.repeat(32));
    const other = new SecretKeys('x'.repeat(32));
    const sealed = (by: SecretKeys, id: string) =>
      `, username: loam, password: "${by.seal({ kind: 'source', id, key: 'password' }, 'pass word')}"`;
    const named = (id: string, more: string) => plain(more, secure.url).replace('id: old', `id: ${id}`);
    await startWith(
      { secretKeys: () => keys },
      plain(sealed(keys, 'old'), secure.url),
      named('moved', sealed(keys, 'old')),
      named('foreign', sealed(other, 'foreign')),
    );
    await connected('old');
    for (const [id, why] of [
      ['moved', 'another place'],
      ['foreign', `needs the key ${other.id}`],
    ] as const) {
      await until(`${id} is off`, () => healthOf(id)?.why?.includes(why));
      expect(healthOf(id)).to.include({ ok: false, optional: true });
      expect(await counted('connected', id)).to.equal(0);
    }
    await secure.close();
  });

  it('that cannot come for one source harm no other, and its health says why', async () => {
    const babbler = createServer((socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const glutton = createServer((socket) => {
      socket.on('error', () => {});
      // CONNACK, and then a SUBACK that claims 200 MiB and never ends.
      socket.once('data', () => {
        socket.write(Buffer.from([0x20, 2, 0, 0]));
        socket.write(Buffer.from([0x90, 0x80, 0x80, 0x80, 0x64]));
        const feed = () => {
          while (!socket.destroyed && socket.write(Buffer.alloc(65_536))) {}
        };
        socket.on('drain', feed);
        feed();
      });
    });
    const ports = await Promise.all(
      [babbler, glutton].map(
        (server) =>
          new Promise<number>((resolve) => {
            server.listen(0, '127.0.0.1', () => {
              const address = server.address();
              resolve(typeof address === 'object' && address ? address.port : 0);
            });
          }),
      ),
    );
    const nowhere = await freePort();
    const named = (id: string, more: string, url?: string) => plain(more, url).replace('id: old', `id: ${id}`);
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    await startWith(
      { log },
      plain(),
      named('unreachable', '', `mqtt://127.0.0.1:${nowhere}`),
      named('babbling', '', `mqtt://127.0.0.1:${ports[0]}`),
      named('greedy', '', `mqtt://127.0.0.1:${ports[1]}`),
      named('secretless', ', passwordFile: /nowhere/at/all'),
      named('unset', ', passwordVariable: NO_SUCH_VARIABLE_HERE'),
    );
    await connected();
    const reasons: Readonly<Record<string, RegExp>> = {
      unreachable: new RegExp(String(nowhere)),
      babbling: /\w/,
      greedy: /more than 65536 bytes/,
      secretless: /\/nowhere\/at\/all/,
      unset: /NO_SUCH_VARIABLE_HERE/,
    };
    for (const [id, why] of Object.entries(reasons)) {
      await until(
        `the health of ${id}`,
        () => why.test(healthOf(id)?.why ?? '') && healthOf(id)?.why !== 'not connected yet',
      );
      expect(healthOf(id)).to.include({ ok: false, optional: true });
    }
    const client = await publisher();
    await client.publishAsync(topicOf('a1'), 'unharmed', { qos: 1 });
    await gets('unharmed');
    for (const id of ['old', ...Object.keys(reasons)]) {
      expect(
        lines.filter((line) => line.includes(`"source":"${id}"`)),
        id,
      ).to.not.be.empty;
      for (const line of lines.filter((one) => one.includes(`"source":"${id}"`)))
        expect(line).to.include(`source ${id}`);
    }
    babbler.close();
    glutton.close();
  });

  it('at QoS 2, which an older subscription of its session may have left, are taken once, and their connection stays', async () => {
    const heard: string[] = [];
    const sockets: Socket[] = [];
    const other = createServer((socket) => {
      sockets.push(socket);
      const parser = mqttPacket.parser();
      const send = (packet: mqttPacket.Packet) => socket.write(mqttPacket.generate(packet));
      parser.on('packet', (packet: mqttPacket.Packet) => {
        heard.push(`${sockets.length} ${packet.cmd} ${packet.messageId ?? ''}`.trim());
        if (packet.cmd === 'connect') send({ cmd: 'connack', returnCode: 0, sessionPresent: sockets.length > 1 });
        if (packet.cmd === 'subscribe')
          send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: packet.subscriptions.map(() => 1) });
      });
      socket.on('data', (chunk) => parser.parse(chunk));
      socket.on('error', () => {});
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    await start(plain('', `mqtt://127.0.0.1:${port}`));
    await connected();
    const send = (packet: mqttPacket.Packet) => sockets.at(-1)?.write(mqttPacket.generate(packet));
    const publish = (qos: 1 | 2, messageId: number, payload: string, dup = false) =>
      send({ cmd: 'publish', topic: topicOf('a1'), payload, qos, messageId, dup, retain: false });
    const hears = (what: string, times = 1) => until(what, () => heard.filter((one) => one === what).length === times);
    queue.hold();
    publish(2, 7, 'once');
    await until('it is on its way', () => queue.heldNow > 0);
    expect(heard.some((one) => one.includes('pubrec'))).to.equal(false);
    queue.letGo();
    await hears('1 pubrec 7');
    publish(2, 7, 'once', true);
    await hears('1 pubrec 7', 2);
    for (const id of [8, 9, 10]) publish(2, id, `number ${id}`);
    for (const id of [8, 9, 10]) await hears(`1 pubrec ${id}`);
    send({ cmd: 'pubrel', messageId: 7 });
    await hears('1 pubcomp 7');
    publish(2, 7, 'another');
    await hears('1 pubrec 7', 3);
    publish(1, 11, 'at least once');
    await hears('1 puback 11');
    // The line is cut before the PUBREL of these: they were kept, and are not taken again.
    sockets[0]?.destroy();
    await until('it is back', () => heard.includes('2 connect'));
    await connected();
    publish(2, 8, 'number 8', true);
    await hears('2 pubrec 8');
    for (const id of [7, 8, 9, 10]) send({ cmd: 'pubrel', messageId: id });
    for (const id of [7, 8, 9, 10]) await hears(`2 pubcomp ${id}`);
    publish(1, 12, 'the last');
    await gets('the last');
    const wanted = ['once', 'number 8', 'number 9', 'number 10', 'another', 'at least once', 'the last'];
    expect(payloads()).to.deep.equal(wanted);
    expect(sockets).to.have.length(2);
    expect(await counted('lost')).to.equal(1);
    for (const socket of sockets) socket.destroy();
    other.close();
  });

  it('are set aside, and acknowledged, when they are no sensor’s, or another farm’s', async () => {
    await start(plain());
    await connected();
    const client = await publisher();
    await client.publishAsync('other/topic', 'no sensor', { qos: 1 });
    await client.publishAsync(topicOf('b1', 'south'), 'another farm', { qos: 1 });
    await client.publishAsync(topicOf('a1'), 'good', { qos: 1 });
    await gets('good');
    await until('all are acknowledged', async () => (await counted('acknowledged')) === 3);
    const letters = (await dead.read('first', 10)).map(({ body }) => decodeDead(body));
    expect(
      letters.map(({ publish, reason }) => [publish.farm, publish.sensor, reason, publish.payload.length]),
    ).to.deep.equal([
      ['north', 'old', 'not_authorised', 9],
      ['north', 'old', 'not_authorised', 12],
    ]);
    expect(payloads()).to.deep.equal(['good']);
  });

  it('over the limit are acknowledged and kept by their beginning: the connection stays, and what is behind them comes', async () => {
    const notes: RefusalNote[] = [];
    await startWith({ payloadBytes: 300_000, refused: (note) => notes.push(note) }, plain());
    await connected();
    const client = await publisher();
    const text = (bytes: number) => `<${bytes}>`.padEnd(bytes, 'x');
    await client.publishAsync(topicOf('retained'), text(400_000), { qos: 1, retain: true });
    for (const bytes of [300_000, 300_001, 5_000_000, 6_000_000, 1_100_000]) {
      await client.publishAsync(topicOf('a1'), text(bytes), { qos: 1 });
    }
    await client.publishAsync(topicOf('a1'), text(350_000), { qos: 0 });
    await client.publishAsync(topicOf('b1', 'south'), text(360_000), { qos: 1 });
    await client.publishAsync(topicOf('a1'), 'behind them', { qos: 1 });
    await gets('behind them');
    await until('all are acknowledged', async () => (await counted('acknowledged')) === 8);
    const letters = (await dead.read('first', 10)).map(({ body }) => decodeDead(body));
    const told = letters.map(({ publish: { sensor, payload }, reason, explanation = '' }) => {
      expect(payload.length).to.equal(4_096);
      const sent = /had (\d+) bytes/.exec(explanation)?.[1];
      return [sensor, reason, Buffer.from(payload).toString().slice(0, 9), sent];
    });
    expect(told).to.deep.equal([
      ['retained', 'too_large', '<400000>x', '400000'],
      ['a1', 'too_large', '<300001>x', '300001'],
      ['a1', 'too_large', '<5000000>', '5000000'],
      ['a1', 'too_large', '<6000000>', '6000000'],
      ['a1', 'too_large', '<1100000>', '1100000'],
      ['a1', 'too_large', '<350000>x', '350000'],
      ['old', 'not_authorised', '<360000>x', undefined],
    ]);
    expect(kept.map(({ payload }) => payload.length)).to.deep.equal([300_000, 'behind them'.length]);
    expect(notes.map(({ who, why }) => [who, why])).to.deep.equal([
      ['north/retained', 'too_large'],
      ...Array.from({ length: 5 }, () => ['north/a1', 'too_large']),
    ]);
    expect([await counted('connected'), await counted('lost')]).to.deep.equal([1, 0]);
    await client.publishAsync(topicOf('retained'), '', { qos: 1, retain: true });
  });

  it('over the limit that come slowly, or at QoS 2, are taken too: parts of them count as life', async () => {
    const size = 400_000;
    const sockets: Socket[] = [];
    const heard: string[] = [];
    const other = createServer((socket) => {
      sockets.push(socket);
      const parser = mqttPacket.parser();
      parser.on('packet', (packet) => {
        heard.push(packet.cmd);
        if (packet.cmd === 'connect') send({ cmd: 'connack', returnCode: 0, sessionPresent: false });
        if (packet.cmd === 'subscribe')
          send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [1, 1, 1, 1] });
        // No PINGRESP: it would wait behind the publish.
      });
      socket.on('data', (chunk) => parser.parse(chunk)).on('error', () => {});
    }).listen(0, '127.0.0.1');
    const send = (packet: mqttPacket.Packet) => sockets.at(-1)?.write(mqttPacket.generate(packet));
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    await startWith({ timeouts: { connectMs: 5_000, keepaliveS: 1 } }, plain('', `mqtt://127.0.0.1:${port}`));
    await connected();
    const large = (qos: 1 | 2, messageId: number) =>
      mqttPacket.generate({
        cmd: 'publish',
        topic: topicOf('a1'),
        payload: Buffer.alloc(size, 'x'),
        qos,
        messageId,
        dup: false,
        retain: false,
      });
    const slow = large(1, 5);
    const parts = 12;
    for (let part = 0; part < parts; part++) {
      sockets[0]?.write(slow.subarray((part * slow.length) / parts, ((part + 1) * slow.length) / parts));
      await pause(250);
    }
    await until('it is acknowledged', () => heard.includes('puback'));
    sockets[0]?.write(large(2, 6));
    await until('the next is, too', () => heard.includes('pubrec'));
    send({ cmd: 'pubrel', messageId: 6 });
    await until('to the end', () => heard.includes('pubcomp'));
    send({ cmd: 'publish', topic: topicOf('a1'), payload: 'behind', qos: 1, messageId: 7, dup: false, retain: false });
    await gets('behind');
    expect(payloads()).to.deep.equal(['behind']);
    const letters = (await dead.read('first', 10)).map(({ body }) => decodeDead(body).reason);
    expect(letters).to.deep.equal(['too_large', 'too_large']);
    expect(sockets).to.have.length(1);
    for (const socket of sockets) socket.destroy();
    other.close();
  });

  it('follow the registry: a source that is added, changed or taken out, and no other', async () => {
    await start(plain());
    await connected();
    const before = await counted('connected');
    book.change(withSources(plain(), plain().replace('id: old', 'id: more')));
    await connected('more');
    book.change(withSources(plain(), plain().replace('id: old', 'id: more').replace('farm: north', 'farm: south')));
    await until('it is connected anew', async () => (await counted('connected', 'more')) === 2);
    book.change(withSources(plain().replace('farms/+/sensors/+/telemetry', 'v3/other/devices/+/up')));
    await until('one is left', () => sources?.health().length === 1);
    expect(await counted('connected')).to.be.within(before, before + 1);
    await connected();
    const client = await publisher();
    await client.publishAsync('v3/other/devices/n1/up', 'the new topic', { qos: 1 });
    await gets('the new topic');
    book.change(FARMS);
    await until('none is left', () => sources?.health().length === 0);
  });

  it('from a second Loam are refused by it, which is said and counted and harms no other; the connection itself works, with its secrets', async () => {
    const otherQueue = await openFileQueue(await temporaryFolder());
    const loam = await startBroker(otherQueue);
    const url = `mqtt://127.0.0.1:${loam.port}`;
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'right'), 'secret-gate');
    await writeFile(join(folder, 'wrong'), 'secret-of-nobody');
    const named = (id: string, topics: string, file: string) =>
      `id: ${id}, farm: north, url: "${url}", username: gate, passwordFile: ${join(folder, file)}, topics: ["${topics}"]`;
    await start(
      named('commands', 'farms/north/sensors/+/commands', 'right'),
      named('readings', 'farms/north/sensors/+/telemetry', 'right'),
      named('stranger', 'farms/north/sensors/+/commands', 'wrong'),
    );
    await connected('commands');
    await until('the refusal', () => /not allowed to subscribe/.test(healthOf('readings')?.why ?? ''));
    expect(healthOf('readings')).to.include({ ok: false, optional: true });
    expect(await counted('not_allowed', 'readings')).to.be.at.least(1);
    expect(await counted('not_allowed', 'commands')).to.equal(0);
    await until('the wrong secret', () =>
      /[Bb]ad user|[Nn]ot authorized|refused/i.test(healthOf('stranger')?.why ?? ''),
    );
    const [subscriber] = loam.subscribers.hearing('north', 'a1');
    const sent = subscriber?.send('k1', 'farms/north/sensors/a1/commands', Buffer.from('for nobody here'));
    expect(await sent).to.equal('acknowledged');
    expect((await dead.read('first', 10)).map(({ body }) => decodeDead(body).reason)).to.deep.equal(['not_authorised']);
    await loam.stop(1_000);
    await otherQueue.close();
  });
});
