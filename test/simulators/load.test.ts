import { join } from 'node:path';
import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { BrokerUnreachable, CredentialsRefused } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { readPromises } from '../../simulators/load/acknowledged-readings.ts';
import { runLoad } from '../../simulators/load/load.ts';
import type { LoadConnection, LoadPlan } from '../../simulators/load/plan.ts';
import type { ReportInterval } from '../../simulators/load/report.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { startProxy } from '../services/proxy.ts';
import { Book } from '../services/registry.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const SENSORS = Array.from({ length: 20 }, (_, i) => `s${i}`);

describe('the load generator', () => {
  const registry = new Book(`farms: [{ id: north, name: North, timezone: UTC }]
sensors:
${SENSORS.map((id) => `  - { id: ${id}, farm: north, secret: ${hashSecret(`secret-${id}`)} }`).join('\n')}
  - { id: gate, farm: north, role: bridge, secret: ${hashSecret('secret-gate')} }
`);
  const connection = (id: string, sensors: readonly string[] = [id]): LoadConnection => ({
    clientId: id,
    username: id,
    password: `secret-${id}`,
    sensors: sensors.map((sensor) => ({ farm: 'north', sensor, topic: telemetryTopic('north', sensor) })),
  });
  let queue: Queue;
  let broker: Broker;
  let plan: LoadPlan;
  /** `sensor seq ts` of every publish that came, as often as it came. */
  let came: string[];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    came = [];
    await queue.consume(
      async ({ body }) => {
        for (const { sensor, payload } of decodeBatch(body).publishes) {
          const { ts, values }: { ts: number; values: { seq: number } } = JSON.parse(Buffer.from(payload).toString());
          came.push(`${sensor} ${values.seq} ${ts}`);
        }
      },
      { prefetch: 64 },
    );
    broker = new Broker({ host: '127.0.0.1', port: 0, queue, registry, log: silent });
    await broker.start();
    plan = {
      url: `mqtt://127.0.0.1:${broker.port}`,
      connections: SENSORS.map((id) => connection(id)),
      pace: { loop: 'closed' },
      qos: 1,
      inFlight: 8,
      times: { are: 'stepped', first: 1_764_000_000_000, step: 10 },
    };
  });
  afterEach(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  const all = (seqs: number) =>
    SENSORS.flatMap((id) =>
      Array.from({ length: seqs }, (_, i) => `${id} ${i + 1} ${1_764_000_000_000 + i * 10}`),
    ).sort();

  it('publishes its total as fast as it is acknowledged, every number of every sensor once', async () => {
    const report = await runLoad({ ...plan, total: 2_000, threads: 2 });
    expect(report).to.include({ sent: 2_000, acknowledged: 2_000, unacknowledged: 0, resent: 0, ended: 'done' });
    expect(report.latencyMs?.p50).to.be.above(0);
    await until('all came', () => came.length === 2_000);
    // Closed: a fast connection does more of the total than a slow one, but leaves no number out.
    const numbers = new Set(came);
    expect(numbers.size).to.equal(2_000);
    for (const id of SENSORS) {
      const own = came.filter((one) => one.startsWith(`${id} `)).length;
      for (let seq = 1; seq <= own; seq++)
        expect(numbers).to.include(`${id} ${seq} ${1_764_000_000_000 + (seq - 1) * 10}`);
    }
  });

  it('publishes at a rate whatever comes back, each sensor by turns', async () => {
    const report = await runLoad({ ...plan, pace: { loop: 'open', rate: 1_000 }, total: 600 });
    expect(report).to.include({ due: 600, sent: 600, acknowledged: 600 });
    await until('all came', () => came.length === 600);
    expect(came.sort()).to.deep.equal(all(30));
  });

  it('measures an open loop from when a publish was due, so that a stall is seen by all that was due in it', async () => {
    const proxy = await startProxy(broker.port);
    const stretches: ReportInterval[] = [];
    const report = await runLoad(
      { ...plan, url: `mqtt://127.0.0.1:${proxy.port}`, pace: { loop: 'open', rate: 500 }, total: 2_000 },
      {
        onStretch: (stretch) => {
          stretches.push(stretch);
          // One second in which nothing passes: with 20 × 8 in flight most of what is due then cannot even be sent.
          if (stretches.length === 1) proxy.freeze();
          if (stretches.length === 2) proxy.thaw();
        },
      },
    );
    expect(report).to.include({ sent: 2_000, acknowledged: 2_000, connectionsLost: 0 });
    expect(stretches[1]?.backlog).to.be.above(100);
    // Half a second or more late were those of the first half of the stall: an eighth of all publishes or so.
    expect(report.latencyMs?.p90).to.be.above(400);
    await proxy.close();
  });

  it('sends again what was not acknowledged when the connection broke, and promises only what was', async () => {
    const proxy = await startProxy(broker.port);
    const promises = join(await temporaryFolder(), 'promises');
    const report = await runLoad(
      { ...plan, url: `mqtt://127.0.0.1:${proxy.port}`, pace: { loop: 'open', rate: 800 }, total: 2_000, promises },
      {
        onStretch: () => {
          proxy.cut();
          proxy.restore();
        },
      },
    );
    expect(report.connectionsLost).to.be.at.least(SENSORS.length);
    expect(report).to.include({ sent: 2_000, acknowledged: 2_000, unacknowledged: 0 });
    await until('all came', () => new Set(came).size === 2_000);
    expect([...new Set(came)].sort()).to.deep.equal(all(100));
    const promised: string[] = [];
    for await (const { sensor, seq, ts } of readPromises(promises)) promised.push(`${sensor} ${seq} ${ts}`);
    expect(promised.sort()).to.deep.equal(all(100));
    await proxy.close();
  });

  it('speaks for many sensors over one connection, and goes on counting where it is told to', async () => {
    const report = await runLoad({ ...plan, connections: [connection('gate', SENSORS)], total: 40, firstSeq: 3 });
    expect(report.acknowledged).to.equal(40);
    await until('all came', () => came.length === 40);
    expect(came.sort()).to.deep.equal(
      SENSORS.flatMap((id) => [`${id} 3 1764000000020`, `${id} 4 1764000000030`]).sort(),
    );
  });

  it('counts what the system took with QoS 0', async () => {
    const report = await runLoad({ ...plan, qos: 0, total: 400 });
    expect(report).to.include({ sent: 400, acknowledged: 400, latencyMs: undefined });
    await until('all came', () => came.length === 400);
  });

  it('ends early when it is told to, with what it has', async () => {
    const stop = new AbortController();
    const report = await runLoad(
      { ...plan, pace: { loop: 'open', rate: 500 } },
      { signal: stop.signal, onStretch: () => stop.abort() },
    );
    expect(report.ended).to.equal('stopped');
    expect(report.acknowledged).to.equal(report.sent).and.to.be.above(0);
    await until('all came', () => came.length === report.sent);
  });

  it('changes its rate in the middle', async () => {
    const stretches: ReportInterval[] = [];
    const report = await runLoad(
      { ...plan, pace: { loop: 'open', rate: 50 }, total: 1_000 },
      {
        onBegin: ({ changeRate }) => changeRate(2_000),
        onStretch: (stretch) => stretches.push(stretch),
      },
    );
    // At 50 a second it would take 20 s.
    expect(report.sent).to.equal(1_000);
    expect(stretches.length).to.be.below(15);
  });

  it('says whose credentials are refused', async () => {
    const wrong = { ...connection('s3'), password: 'wrong' };
    const error = await runLoad({ ...plan, connections: [connection('s1'), wrong], total: 1 }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(CredentialsRefused);
    expect(String(error)).to.include('s3');
    expect(came).to.deep.equal([]);
  });

  it('says that nobody answers', async () => {
    const port = await freePort();
    const url = `mqtt://127.0.0.1:${port}`;
    const error = await runLoad({ ...plan, url, total: 1, connectWithinMs: 500 }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(BrokerUnreachable);
    expect(String(error)).to.match(/0 of 20.*ECONNREFUSED/);
  });
});
