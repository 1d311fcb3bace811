import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import mqtt, { type MqttClient } from 'mqtt';
import { DEAD_LOG_LIMITS, type Log, SOURCES_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { SourceSession } from '../../broker/sources/source-session.ts';
import { Sources } from '../../broker/sources/sources.ts';
import { readiness } from '../../core/lifecycle.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { decodeSourceEntry, encodeSourceEntry } from '../../telemetry/source-entry.ts';
import { startMosquitto } from '../services/mosquitto.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, topicOf } from './harness.ts';

const TELEMETRY = 'farms/north/sensors/+/telemetry';
const OWN = topicOf('a1');

describe('sessions at sources: what Loam knows of them, over restarts', function () {
  this.timeout(60_000);
  let queue: Queue;
  let dead: Log;
  let known: Log;
  let book: Book;
  let metrics: Metrics;
  let sources: Sources | undefined;
  let said: string[];
  const kept: string[] = [];
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    dead = await openFileLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
    known = await openFileLog(await temporaryFolder(), 'sources', SOURCES_LOG_LIMITS);
    kept.length = 0;
    said = [];
    await queue.consume(
      async ({ body }) =>
        void kept.push(...decodeBatch(body).publishes.map(({ payload }) => Buffer.from(payload).toString())),
      { prefetch: 1 },
    );
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await stop();
    for (const part of [queue, dead, known]) await part.close();
  });

  const withSource = (url: string, topics: readonly string[], more = '') =>
    `${FARMS}sources:\n  - { id: old, farm: north, url: "${url}", topics: ${JSON.stringify(topics)}${more} }\n`;
  async function start(text: string): Promise<void> {
    book = new Book(text);
    metrics = new Metrics();
    const log = silent.child({});
    log.warn = (_: unknown, words?: unknown) => void said.push(String(words));
    sources = new Sources({ queue, dead, registry: book, metrics, log, known });
    await sources.start();
  }
  async function stop(): Promise<void> {
    await sources?.stop(2_000);
    sources = undefined;
  }
  const connected = () =>
    until('the source is connected', () => sources?.health().find(({ name }) => name === 'source old')?.ok, {
      timeoutMs: 20_000,
    });
  async function publisher(url: string): Promise<MqttClient> {
    const client = await mqtt.connectAsync(url, { reconnectPeriod: 0 });
    clients.push(client);
    return client;
  }
  async function counted(event: string): Promise<number> {
    const line = new RegExp(`loam_source_events_total\\{source="old",event="${event}"\\} (\\d+)`);
    return Number(line.exec(await metrics.text())?.[1] ?? 0);
  }

  it('a message that several topics match is stored once, where one of them covers the others', async () => {
    const other = await startMosquitto({ lines: ['allow_duplicate_messages true'] });
    await start(withSource(other.url, [TELEMETRY, 'farms/north/sensors/#', TELEMETRY, OWN]));
    await connected();
    const client = await publisher(other.url);
    for (const payload of ['one', 'two', 'three']) await client.publishAsync(OWN, payload, { qos: 1 });
    await until('all are kept', () => kept.includes('three'));
    expect(kept).to.deep.equal(['one', 'two', 'three']);
    await other.close();
  });

  it('a retained message is stored once, whatever is started again, and once more when its bytes are others', async () => {
    let other = await startMosquitto();
    await start(withSource(other.url, [TELEMETRY, 'farms/north/sensors/#']));
    await connected();
    const client = await publisher(other.url);
    await client.publishAsync(OWN, 'live', { qos: 1, retain: true });
    await until('it is kept', () => kept.length === 1);
    for (let restart = 0; restart < 2; restart++) {
      await stop();
      await start(withSource(other.url, [TELEMETRY, 'farms/north/sensors/#']));
      await connected();
    }
    expect(await counted('received')).to.equal(0);

    // Another broker knows no session: all is subscribed there, and all retained messages come, by both filters.
    await stop();
    await other.close();
    other = await startMosquitto();
    const again = await publisher(other.url);
    await again.publishAsync(OWN, 'live', { qos: 1, retain: true });
    await again.publishAsync(topicOf('a2'), 'of a2', { qos: 1, retain: true });
    await start(withSource(other.url, [TELEMETRY, 'farms/north/sensors/#']));
    await until('what is news is kept', () => kept.includes('of a2'));
    await until('the others are acknowledged', async () => (await counted('acknowledged')) >= 2);
    await again.publishAsync(OWN, 'live', { qos: 1 });
    await until('the same bytes, sent now, are news', () => kept.filter((payload) => payload === 'live').length === 2);
    expect(kept).to.have.members(['live', 'of a2', 'live']);
    expect(await counted('retained_again')).to.be.at.least(1);
    await other.close();
  });

  it('topics that are taken out are unsubscribed: at once, when Loam is started again, and with their source', async () => {
    const other = await startMosquitto();
    const topics = (...ids: readonly string[]) =>
      withSource(
        other.url,
        ids.map((id) => topicOf(id)),
      );
    await start(topics('a1', 'a2', 'a3'));
    await connected();
    book.change(topics('a2', 'a3'));
    await until('it is connected anew', async () => (await counted('connected')) === 2);
    const client = await publisher(other.url);
    await until('a1 is unsubscribed', async () => {
      kept.length = 0;
      await client.publishAsync(topicOf('a1'), 'of a1', { qos: 1 });
      await client.publishAsync(topicOf('a2'), 'of a2', { qos: 1 });
      await until('a2 is heard', () => kept.includes('of a2'));
      return !kept.includes('of a1');
    });
    await stop();
    await start(topics('a3'));
    await connected();
    await until('a2 is unsubscribed', async () => {
      kept.length = 0;
      await client.publishAsync(topicOf('a2'), 'of a2', { qos: 1 });
      await client.publishAsync(topicOf('a3'), 'of a3', { qos: 1 });
      await until('a3 is heard', () => kept.includes('of a3'));
      return !kept.includes('of a2');
    });
    book.change(FARMS);
    await until('it is forgotten', async () => {
      const newest = (await known.read('first', 1_000)).at(-1);
      return newest && decodeSourceEntry(newest.body).session === '';
    });
    await client.publishAsync(topicOf('a3'), 'for nobody', { qos: 1 });
    const session = await mqtt.connectAsync(other.url, { clientId: 'loam-old', clean: false, reconnectPeriod: 0 });
    const heard: string[] = [];
    session.on('message', (_, payload) => heard.push(payload.toString()));
    await session.subscribeAsync('last', { qos: 1 });
    await client.publishAsync('last', 'after all', { qos: 1 });
    await until('the session is asked', () => heard.includes('after all'));
    expect(heard).to.deep.equal(['after all']);
    await session.endAsync(true);
    await other.close();
  });

  it('a source that was taken out while Loam was down is named, once', async () => {
    const other = await startMosquitto();
    await start(withSource(other.url, [TELEMETRY]));
    await connected();
    await stop();
    await start(FARMS);
    await until('it is said', () => said.some((line) => /source old was taken out.*loam-old/.test(line)));
    await stop();
    said.length = 0;
    await start(FARMS);
    await stop();
    expect(said).to.deep.equal([]);
    await other.close();
  });

  it('a source that grants QoS 0 is named, in the log and in the health, and takes nothing out of service', async () => {
    const other = await startMosquitto({ lines: ['max_qos 0'] });
    await start(withSource(other.url, [TELEMETRY]));
    await connected();
    for (let restart = 0; restart < 2; restart++) {
      const health = sources?.health() ?? [];
      expect(health.map(({ name, ok }) => [name, ok])).to.deep.equal([
        ['source old', true],
        ['delivery of source old', false],
      ]);
      expect(health[1]?.why).to.match(/grants QoS 0 for farms\/north\/sensors\/\+\/telemetry/);
      expect(readiness(health).ok).to.equal(true);
      expect(said.filter((line) => /grants QoS 0/.test(line))).to.have.length(restart + 1);
      await stop();
      await start(withSource(other.url, [TELEMETRY]));
      await connected();
    }
    await other.close();
  });

  it('a password file that is a pipe is refused, and holds up no stop', async () => {
    const other = await startMosquitto();
    const pipe = join(await temporaryFolder(), 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    await start(withSource(other.url, [TELEMETRY], `, username: loam, passwordFile: ${pipe}`));
    await until('it is said', () => /pipe cannot be read: it is no file/.test(sources?.health()[0]?.why ?? ''));
    await stop();
    await other.close();
  });

  it('are known of 10,000 topics of a source; the topic that was quiet longest is forgotten', () => {
    const session = new SourceSession('old', 'mqtt://localhost loam-old');
    const payload = Buffer.from('22');
    for (let i = 0; i < 10_000; i++) expect(session.saw(`t/${i}`, payload)).to.equal(false);
    session.saw('t/0', payload);
    session.subscribed('t/#', 0);
    expect(session.saw('one more', payload)).to.equal(true);
    const read = SourceSession.from(decodeSourceEntry(encodeSourceEntry(session.toEntry())));
    expect(['t/0', 't/1', 't/9999', 'one more'].map((topic) => read.wasLast(topic, payload))).to.deep.equal([
      true,
      false,
      true,
      true,
    ]);
    expect(read.wasLast('t/0', Buffer.from('23'))).to.equal(false);
    expect([...read.filters]).to.deep.equal([['t/#', 0]]);
  });
});
