import { type ChildProcess, spawn } from 'node:child_process';
import { expect } from 'chai';
import mqtt from 'mqtt';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { locateTool, type Tool } from '../services/install.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, signed, writePapers } from './certificates.ts';
import { FARMS, takeOut, topicOf } from './harness.ts';

const COMMANDS = 'farms/north/sensors/a1/commands';

/** How each client is told the same. */
interface Speaker {
  readonly publisher: Tool;
  readonly subscriber: Tool;
  readonly secure: (port: number, ca: string) => readonly string[];
}
const mosquitto: Speaker = {
  publisher: 'mosquitto_pub',
  subscriber: 'mosquitto_sub',
  secure: (port, ca) => ['-h', '127.0.0.1', '-p', String(port), '--cafile', ca],
};
const paho = (publisher: Tool, subscriber: Tool): Speaker => ({
  publisher,
  subscriber,
  secure: (port, ca) => ['-c', `ssl://localhost:${port}`, '--cafile', ca],
});
const speakers: Readonly<Record<string, Speaker>> = {
  'mosquitto’s clients': mosquitto,
  'Paho’s asynchronous C client': paho('paho_c_pub', 'paho_c_sub'),
  'Paho’s synchronous C client': paho('paho_cs_pub', 'paho_cs_sub'),
};

describe('clients that other people wrote', function () {
  this.timeout(60_000);
  let queue: Queue;
  let broker: Broker;
  let caFile: string;
  let ca: string;
  const children: ChildProcess[] = [];

  before(async () => {
    const authorities = await authority();
    const folder = await temporaryFolder();
    const certificate = await writePapers(folder, await signed('localhost', authorities), authorities);
    caFile = certificate.ca ?? '';
    ca = authorities.cert;
    queue = await openFileQueue(await temporaryFolder());
    const { cert, key } = certificate;
    const registry = new Book(FARMS);
    broker = new Broker({
      host: '127.0.0.1',
      port: 0,
      tlsPort: 0,
      certificate: { cert, key, ca: undefined },
      queue,
      registry,
      log: silent,
    });
    await broker.start();
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });
  after(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  const plainTo = () => ['-h', '127.0.0.1', '-p', String(broker.port)];
  const credentials = (secret = 'secret-a1') => ['-u', 'a1', '-P', secret];

  async function start(tool: Tool, args: readonly string[]) {
    const child = spawn(await locateTool(tool), [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const said = { text: '' };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said.text += text));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { child, said, ended };
  }

  for (const [name, { publisher, subscriber, secure }] of Object.entries(speakers)) {
    for (const way of ['plain', 'TLS'] as const) {
      const address = () => (way === 'plain' ? plainTo() : secure(broker.ports.mqtts ?? 0, caFile));

      it(`${name} publish at every QoS over ${way}`, async () => {
        for (const qos of ['0', '1', '2']) {
          const payload = `{"qos":${qos}}`;
          const { ended, said } = await start(publisher, [
            ...address(),
            ...credentials(),
            '-i',
            'pub',
            '-q',
            qos,
            '-t',
            topicOf('a1'),
            '-m',
            payload,
          ]);
          const [taken] = await takeOut(queue, 1);
          expect(Buffer.from(taken?.payload ?? []).toString(), said.text).to.equal(payload);
          expect(await ended, said.text).to.equal(0);
        }
      });

      it(`${name} hear commands over ${way} and acknowledge them`, async () => {
        const { said } = await start(subscriber, [
          ...address(),
          ...credentials(),
          '-i',
          'sub',
          '-q',
          '1',
          '-t',
          COMMANDS,
        ]);
        const session = await until(`a subscription: ${said.text}`, () => broker.subscribers.hearing('north', 'a1')[0]);
        expect(await session.send(`${name} ${way}`, COMMANDS, Buffer.from('{"valve":"open"}'))).to.equal(
          'acknowledged',
        );
        await until('it says what it heard', () => said.text.includes('{"valve":"open"}'));
        for (const child of children.splice(0)) child.kill('SIGKILL');
        await until('it is gone', () => broker.subscribers.hearing('north', 'a1').length === 0);
      });
    }

    it(`${name} are told when their secret is wrong`, async () => {
      const args = [...plainTo(), ...credentials('wrong'), '-i', 'pub', '-q', '1', '-t', topicOf('a1'), '-m', '{}'];
      const before = broker.counters.refusedCredentials;
      const { ended, said } = await start(publisher, args);
      await until('the refusal is counted', () => broker.counters.refusedCredentials > before);
      // The C examples try again until they are stopped.
      if (publisher === 'mosquitto_pub') expect(await ended, said.text).to.not.equal(0);
      expect(await queue.depth()).to.equal(0);
    });
  }

  it('mqtt.js publishes and hears commands, over TLS too', async () => {
    for (const url of [`mqtt://127.0.0.1:${broker.port}`, `mqtts://127.0.0.1:${broker.ports.mqtts}`]) {
      const client = await mqtt.connectAsync(url, { username: 'a1', password: 'secret-a1', reconnectPeriod: 0, ca });
      for (const qos of [0, 1, 2] as const) {
        await client.publishAsync(topicOf('a1'), `{"qos":${qos}}`, { qos });
        await takeOut(queue, 1);
      }
      const heard: string[] = [];
      client.on('message', (_topic, payload) => heard.push(payload.toString()));
      await client.subscribeAsync(COMMANDS, { qos: 1 });
      const [session] = broker.subscribers.hearing('north', 'a1');
      expect(await session?.send(url, COMMANDS, Buffer.from('hello'))).to.equal('acknowledged');
      expect(heard).to.deep.equal(['hello']);
      await client.endAsync();
      await until('it is gone', () => broker.subscribers.hearing('north', 'a1').length === 0);
    }
  });
});
