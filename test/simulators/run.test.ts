import { createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { BrokerUnreachable, CredentialsRefused } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { Ledger, sensorKey } from '../../simulators/ledger.ts';
import { MqttJsLink } from '../../simulators/links/mqttjs.ts';
import { PacketLink } from '../../simulators/links/packet.ts';
import { linesOf } from '../../simulators/profile/devices.ts';
import { parseProfile } from '../../simulators/profile/schema.ts';
import { profileScript, type RunOptions, runScript } from '../../simulators/run.ts';
import { type Dead, verdictOf } from '../../simulators/verify.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { Book } from '../services/registry.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

/** Everything that goes wrong, in three seconds. */
const PROFILE = parseProfile(
  `seed: 5
groups:
  - { name: fine, count: 3, interval: 200ms, jitter: 0.2, faults: [{ fault: thundering, at: 1s }] }
  - { name: asleep, count: 2, interval: 300ms, faults: [{ fault: offline, away: 6h, back: 1s, step: 5m }] }
  - { name: clock, count: 2, interval: 300ms, faults: [{ fault: wrong-clock, by: 3h }] }
  - { name: echo, count: 2, interval: 200ms, faults: [{ fault: duplicates, share: 0.3 }, { fault: malformed, share: 0.5 }] }
  - { name: flap, count: 3, interval: 200ms, faults: [{ fault: flapping, every: 800ms, down: 200ms }] }
  - { name: mad, count: 1, interval: 500ms, faults: [{ fault: runaway, from: 1s, for: 1s, every: 10ms }] }
  - { name: things, count: 1, interval: 300ms, format: thingsboard }
  - { name: records, count: 1, interval: 300ms, format: senml }
  - { name: cs, count: 4, interval: 500ms, format: chirpstack }
  - { name: tts, count: 4, interval: 500ms, format: ttn, faults: [{ fault: flapping, every: 1s, down: 300ms }] }
`,
  'test',
);

describe('a simulated farm', () => {
  const lines = linesOf(PROFILE);
  const registry = new Book(`farms: [{ id: demo, name: Demo, timezone: UTC }]
sensors:
${lines.map(({ id, role }) => `  - { id: ${id}, farm: demo, role: ${role}, secret: ${hashSecret(`secret-${id}`)} }`).join('\n')}
`);
  let queue: Queue;
  let broker: Broker;
  let options: RunOptions;
  let stored: Map<string, Set<number>>;
  let dead: Map<string, Dead & { unreadable: number; seqs: Set<number> }>;

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    [stored, dead] = [new Map(), new Map()];
    await queue.consume(
      async ({ body }) => {
        for (const publish of decodeBatch(body).publishes) {
          const { readings } = decodePublish(publish, plainRules());
          const key = sensorKey(publish.farm, publish.sensor);
          const own = stored.get(key) ?? new Set();
          stored.set(key, own);
          for (const { values } of readings) own.add(values.seq ?? 0);
          if (readings.length > 0) continue;
          const letters = dead.get(key) ?? { unreadable: 0, seqs: new Set() };
          dead.set(key, letters);
          const [, seq] = /"seq":(\d+)/.exec(Buffer.from(publish.payload).toString()) ?? [];
          if (seq === undefined) letters.unreadable += 1;
          else letters.seqs.add(Number(seq));
        }
      },
      { prefetch: 64 },
    );
    broker = new Broker({ host: '127.0.0.1', port: 0, queue, registry, log: silent });
    await broker.start();
    options = {
      url: `mqtt://127.0.0.1:${broker.port}`,
      script: profileScript(PROFILE),
      signIn: ({ id }) => ({ username: id, password: `secret-${id}` }),
      forMs: 3_000,
    };
  });
  afterEach(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  for (const client of ['mqttjs', 'packet'] as const) {
    it(`on which everything goes wrong loses nothing that was acknowledged (${client})`, async () => {
      const ledger = new Ledger();
      const report = await runScript({ ...options, client, ledger });
      expect(report).to.include({ failed: 0, unacknowledged: 0, ended: 'done' });
      // How many faults fit into the time is the machine's to say.
      expect(report.connectionsLost).to.be.above(3);
      expect(report.duplicates).to.be.above(0);
      expect(report.malformed).to.be.above(0);
      const found = () => verdictOf(ledger, { stored, deadLetters: dead, storedMs: [] });
      await until('the queue is worked off', () => found().ok);
      const verdict = found();
      expect(verdict.missing).to.deep.equal([]);
      expect(verdict).to.include({ ok: true, acknowledged: verdict.published, unreadable: report.malformed });
      expect(verdict.refused).to.be.above(0);
      expect(verdict.published).to.equal(report.readings);
    });
  }

  it('that is stopped early tells what there was by then', async () => {
    const stop = new AbortController();
    const { forMs: _, ...endless } = options;
    const report = await runScript({ ...endless, signal: stop.signal, onStretch: () => stop.abort() });
    expect(report).to.include({ ended: 'stopped', unacknowledged: 0 });
    expect(report.acknowledged).to.be.above(0);
  });

  for (const Link of [MqttJsLink, PacketLink]) {
    it(`leaves a broker that has stopped answering (${Link.name})`, async () => {
      const held: Socket[] = [];
      const mute = createServer({ allowHalfOpen: true }, (socket) => {
        held.push(socket);
        socket.once('data', () => socket.write(Buffer.from([0x20, 2, 0, 0])));
      });
      const port = await freePort();
      await new Promise<void>((resolve) => mute.listen(port, '127.0.0.1', resolve));
      const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
      const before = sockets();
      const link = new Link({ url: `mqtt://127.0.0.1:${port}`, clientId: 'a' });
      link.start();
      await until('it is connected', () => link.connected);
      await link.stop(100);
      // The broker's own end of it is still there. Fewer when sockets of tests before have gone meanwhile.
      await until('its socket is gone', () => sockets() <= before + 1);
      for (const socket of held) socket.destroy();
      mute.close();
    });
  }

  it('says whose credentials are refused', async () => {
    const signIn = ({ id }: { readonly id: string }) => ({
      username: id,
      password: id === 'flap-2' ? 'wrong' : `secret-${id}`,
    });
    for (const client of ['mqttjs', 'packet'] as const) {
      const error = await runScript({ ...options, client, signIn }).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(CredentialsRefused);
      expect(String(error)).to.include('flap-2');
    }
  });

  it('says that nobody answers', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`;
    const error = await runScript({ ...options, url, comeUpWithinMs: 1_000 }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(BrokerUnreachable);
    expect(String(error)).to.include(`0 of ${lines.length}`);
  });
});
