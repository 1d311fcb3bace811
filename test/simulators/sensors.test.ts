import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { DemoSensors } from '../../simulators/demo.ts';
import { demoFarm } from '../../simulators/demo-farm.ts';
import { VirtualSensor } from '../../simulators/sensor.ts';
import { decodeBatch, type Publish } from '../../telemetry/batch.ts';
import { Book } from '../services/registry.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

interface Point {
  readonly sensor: string;
  readonly ts: number;
}

describe('simulated sensors', () => {
  const { registryYaml, credentials } = demoFarm(Date.now());
  const registry = new Book(registryYaml);
  const [first] = credentials;
  let queue: Queue;
  let port: number;
  let broker: Broker;
  let taken: Publish[];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    port = await freePort();
    taken = [];
    await queue.consume(
      async ({ body }) => {
        taken.push(...decodeBatch(body).publishes);
      },
      { prefetch: 64 },
    );
    await startBroker();
  });
  afterEach(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  async function startBroker(): Promise<void> {
    broker = new Broker({ host: '127.0.0.1', port, queue, registry, log: silent });
    await broker.start();
  }
  const url = () => `mqtt://127.0.0.1:${port}`;
  /** What has arrived, as points. The payload is in native form: one object or an array of them. */
  const points = (): Point[] =>
    taken.flatMap(({ sensor, payload }) => {
      const value: unknown = JSON.parse(Buffer.from(payload).toString());
      const list: { ts: number; values: Record<string, number> }[] = Array.isArray(value) ? value : [value];
      return list.map(({ ts }) => ({ sensor, ts }));
    });
  function sensor(options: { secret?: string; outbox?: number } = {}): VirtualSensor {
    if (!first) throw new Error('the demo farm has no sensors');
    return new VirtualSensor({ url: url(), ...first, ...options });
  }
  const at = (ts: number) => [{ ts, values: { soil_moisture: 30 } }];

  it('are told when the broker acknowledged a message', async () => {
    const one = sensor();
    one.start();
    expect(await one.send(at(1_764_000_000_000))).to.equal(true);
    expect(one.counts).to.deep.equal({ published: 1, acknowledged: 1, failed: 0 });
    await until('it is in the queue', () => points().length === 1);
    expect(points()).to.deep.equal([{ sensor: first?.id, ts: 1_764_000_000_000 }]);
    await one.stop(1_000);
  });

  it('keep what they measure while the broker is away, and send it with its own time when it is back', async () => {
    const one = sensor();
    one.start();
    await one.send(at(1));
    await broker.stop(2_000);
    await until('the sensor has noticed', () => !one.connected);
    const sent = [2, 3, 4, 5].map((ts) => one.send(at(ts)));
    await startBroker();
    expect(await Promise.all(sent)).to.deep.equal([true, true, true, true]);
    await until('all are in the queue', () => new Set(points().map(({ ts }) => ts)).size === 5);
    await one.stop(1_000);
  });

  it('have a bounded outbox: the oldest is dropped, and counted', async () => {
    await broker.stop(2_000);
    const one = sensor({ outbox: 3 });
    one.start();
    const sent = [1, 2, 3, 4, 5].map((ts) => one.send(at(ts)));
    await startBroker();
    expect(await Promise.all(sent)).to.deep.equal([false, false, true, true, true]);
    expect(one.counts).to.deep.equal({ published: 5, acknowledged: 3, failed: 2 });
    await one.stop(1_000);
  });

  it('say why the broker refuses them, and count what never got through', async () => {
    const one = sensor({ secret: 'wrong' });
    one.start();
    const sent = one.send(at(1));
    await until('it is refused', () => one.refused !== '');
    await one.stop(500);
    expect(await sent).to.equal(false);
    expect(one.counts.failed).to.equal(1);
  });

  it('of the demo publish the past day at steps of five minutes, once each, and the present', async () => {
    // The steps of the past begin anew every five minutes: not between this and the start of the sensors.
    await until('no step is near', () => Date.now() % 300_000 < 295_000);
    const begin = Date.now();
    const demo = new DemoSensors({ url: url(), sensors: credentials, intervalMs: 500, backfillHours: 24, log: silent });
    await demo.start();
    await demo.backfilled();
    for (const { id } of credentials) {
      const own = () => points().filter((point) => point.sensor === id);
      await until(`${id} reports live`, () => own().some(({ ts }) => ts >= begin));
      await until('its past has come', () => own().filter(({ ts }) => ts < begin).length >= 288);
      const past = own().filter(({ ts }) => ts < begin);
      expect(past).to.have.length(288);
      expect(new Set(past.map(({ ts }) => ts)).size).to.equal(288);
      expect(past.every(({ ts }) => ts % 300_000 === 0)).to.equal(true);
      expect(Math.min(...past.map(({ ts }) => ts))).to.be.within(begin - 86_400_000, begin - 86_100_000);
    }
    await demo.stop(2_000);
    expect(broker.counters.notAuthorised).to.equal(0);
  });

  it('of the demo stop within their deadline, in the middle of the past and without a broker', async () => {
    await broker.stop(2_000);
    const demo = new DemoSensors({ url: url(), sensors: credentials, log: silent });
    await demo.start();
    const begin = performance.now();
    await demo.stop(2_000);
    // Its deadline, and what a busy machine adds.
    expect(performance.now() - begin).to.be.below(10_000);
  });
});
