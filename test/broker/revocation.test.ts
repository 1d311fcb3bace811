import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { pino } from 'pino';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { certificateKey, readRevocationLists } from '../../broker/listeners/revocation-list.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, type Papers, revocationList, signed, writePapers } from './certificates.ts';
import { FARMS, topicOf } from './harness.ts';

describe('a client certificate that was revoked', function () {
  this.timeout(30_000);
  let queue: Queue;
  let broker: Broker | undefined;
  let ca: Papers;
  let server: Papers;
  let one: Papers;
  let two: Papers;
  let crl: string;
  const clients: MqttClient[] = [];
  /** Lines of the log about files that were refused. */
  const refused: string[] = [];

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
    ca = await authority();
    server = await signed('broker', ca);
    one = await signed('north/a1', ca);
    two = await signed('north/a2', ca);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker?.stop(2_000);
    broker = undefined;
  });
  after(() => queue.close());

  async function start(list: string | undefined, book = new Book(FARMS)): Promise<Broker> {
    const folder = await temporaryFolder();
    crl = join(folder, 'crl.pem');
    if (list !== undefined) await writeFile(crl, list);
    const certificate = { ...(await writePapers(folder, server, ca)), ...(list === undefined ? {} : { crl }) };
    const ports = { host: '127.0.0.1', port: 0, tlsPort: 0, wssPort: 0 };
    const log = pino({ level: 'error' }, { write: (line) => void refused.push(line) });
    broker = new Broker({ ...ports, certificate, queue, registry: book, log });
    await broker.start();
    return broker;
  }
  const urls = (of: Broker) => ({
    mqtts: `mqtts://localhost:${of.ports.mqtts}`,
    wss: `wss://localhost:${of.ports.wss}/mqtt`,
  });
  async function mqttTo(url: string, { cert, key }: Papers, more: IClientOptions = {}): Promise<MqttClient> {
    const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ca: ca.cert, cert, key, ...more }, false);
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  const isLetIn = (url: string, papers: Papers) =>
    mqttTo(url, papers).then(
      () => true,
      () => false,
    );

  for (const way of ['mqtts', 'wss'] as const) {
    it(`${way}: lets nobody in, and cuts off who is connected as soon as a list says so; others stay`, async () => {
      const started = await start(await revocationList(ca, []));
      const url = urls(started)[way];
      const [first, second] = [await mqttTo(url, one), await mqttTo(url, two)];
      await writeFile(crl, await revocationList(ca, [one]));
      await until('it is cut off', () => !first.connected, { timeoutMs: 10_000 });
      expect(started.counters.closedCertificates).to.equal(1);
      expect(await isLetIn(url, one)).to.equal(false);
      await second.publishAsync(topicOf('a2'), '{"n":1}', { qos: 1 });
      expect(await isLetIn(url, two)).to.equal(true);
      const list = await readFile(crl, 'utf8');
      const old = await revocationList(ca, [], 3_600, 600);
      for (const wrong of ['damaged', old, `${old}${list.slice(0, list.length / 2)}`]) {
        refused.length = 0;
        await writeFile(crl, wrong);
        await until('it is refused', () => refused.length > 0, { timeoutMs: 10_000 });
        expect(await isLetIn(url, one)).to.equal(false);
      }
      await writeFile(crl, await revocationList(ca, []));
      await until('it is let in again', () => isLetIn(url, one), { timeoutMs: 10_000 });
    });
  }

  it('lets nobody in by a TLS session that it began before, either', async () => {
    const started = await start(await revocationList(ca, []));
    // By its address: where "localhost" has two, Node forgets at the second attempt that somebody waits for the session.
    const options = { host: '127.0.0.1', port: started.ports.mqtts ?? 0, ca: ca.cert, servername: 'localhost', ...one };
    const socket = connectTls(options);
    const [session] = await once(socket, 'session');
    socket.destroy();
    const other = await mqttTo(urls(started).mqtts, one);
    await writeFile(crl, await revocationList(ca, [one]));
    await until('the list is in force', () => !other.connected, { timeoutMs: 10_000 });
    const resuming = new mqtt.MqttClient(() => connectTls({ ...options, session }), { reconnectPeriod: 0 });
    clients.push(resuming);
    const answer = await new Promise((resolve) => {
      resuming.once('connect', () => resolve('let in'));
      resuming.once('error', () => resolve('refused'));
      resuming.once('close', () => resolve('refused'));
    });
    expect(answer).to.equal('refused');
  });

  it('is named in the registry by its serial number or its fingerprint, however they are written', async () => {
    const { serialNumber, fingerprint256 } = new X509Certificate(one.cert);
    const withRevoked = (text: string) => FARMS.replace('id: a1,', `id: a1, revoked: ["${text}"],`);
    expect(withRevoked('00')).not.to.equal(FARMS);
    for (const text of [
      serialNumber,
      `00${serialNumber.toLowerCase()}`,
      fingerprint256,
      fingerprint256.replaceAll(':', ''),
    ]) {
      const book = new Book(FARMS);
      const started = await start(undefined, book);
      const { mqtts } = urls(started);
      const client = await mqttTo(mqtts, one);
      book.change(withRevoked(text));
      await until('it is cut off', () => !client.connected);
      expect(started.counters.closedCertificates).to.equal(1);
      expect(await isLetIn(mqtts, one)).to.equal(false);
      expect(started.counters.refusedRevoked).to.equal(1);
      expect(await isLetIn(mqtts, await signed('north/a1', ca))).to.equal(true);
      await started.stop(2_000);
    }
  });

  it('that ends while its client is connected cuts it off then', async () => {
    const started = await start(undefined);
    const soon = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 2_000);
    const brief = await signed('north/a1', ca, new Date(Date.now() - 60_000), soon);
    const client = await mqttTo(urls(started).mqtts, brief);
    const stays = await mqttTo(urls(started).mqtts, two);
    await until('it is cut off', () => !client.connected, { timeoutMs: 10_000 });
    expect(Date.now()).to.be.at.least(soon.getTime());
    expect(started.counters.closedCertificates).to.equal(1);
    expect(stays.connected).to.equal(true);
  });

  it('cannot be known by a list that has ended: no certificate is taken, and that is said', async () => {
    const started = await start(await revocationList(ca, [], 2));
    await until('the list has ended', () => started.health().some(({ name }) => name === 'revoked certificates'), {
      timeoutMs: 10_000,
    });
    expect(started.health().at(-1)).to.include({ ok: false, optional: true });
    expect(started.listSecondsLeft).to.be.at.most(0);
    await until('nobody is let in', async () => !(await isLetIn(urls(started).mqtts, two)));
  });

  it('is on a list of any CA, and lists that are damaged anywhere are refused at the start', async () => {
    const other = await authority('Another CA');
    const theirs = await signed('theirs', other);
    const text = `${await revocationList(ca, [one, two])}\nnotes\n${await revocationList(other, [theirs])}`;
    const { revoked, pems } = readRevocationLists(text);
    expect(pems).to.have.length(2);
    const keys = [one, two, theirs].map(({ cert }) => certificateKey(new X509Certificate(cert)));
    expect([...revoked]).to.have.members(keys);
    const list = await revocationList(ca, [one]);
    const [, base64 = ''] = /CRL-----([^-]*)-----END/.exec(list) ?? [];
    const bytes = Buffer.from(base64, 'base64');
    for (let length = 0; length < bytes.length; length++) {
      const cut = `-----BEGIN X509 CRL-----\n${bytes.toString('base64', 0, length)}\n-----END X509 CRL-----`;
      expect(() => readRevocationLists(cut), `${length} bytes`).to.throw();
    }
    for (const edge of [100, list.length - 5]) {
      expect(() => readRevocationLists(`${list}${list.slice(0, edge)}`)).to.throw('cut off');
    }
    for (const damaged of ['', 'no list', ca.cert]) {
      const error = await start(damaged).catch((thrown: unknown) => thrown);
      broker = undefined;
      expect(error).to.be.instanceOf(ConfigInvalid);
      expect(String(error)).to.match(/LOAM_TLS_CRL/);
    }
  });
});
