import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, publishPacket, RawClient, startBroker, takeOut, topicOf, Valve } from './harness.ts';

const QUEUES: Record<string, () => Promise<Queue>> = {
  files: async () => openFileQueue(await temporaryFolder()),
  RabbitMQ: async () => openRabbitQueue((await rabbit()).url, { name: `broker-test-${process.pid}` }),
};

for (const [kind, open] of Object.entries(QUEUES)) {
  describe(`the broker's acknowledgement, on ${kind}`, function () {
    this.timeout(120_000);
    let valve: Valve;
    let broker: Broker;
    let client: RawClient;

    before(async () => {
      valve = new Valve(await open());
    });
    beforeEach(async () => {
      broker = await startBroker(valve, { limits: { batchPublishes: 4, clientPublishes: 16 } });
      client = new RawClient(broker.port);
      client.greet('a1');
      await until('CONNACK', () => client.of('connack').length === 1);
    });
    afterEach(async () => {
      valve.accept();
      valve.letGo();
      client.end();
      await broker.stop(5_000);
    });
    after(() => valve.close());

    const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
    const publishMany = (count: number) =>
      client.send(...range(count).map((id) => publishPacket(topicOf('a1'), `{"n":${id}}`, id)));
    const payloadsOf = async (count: number) =>
      (await takeOut(valve, count)).map((publish) => Buffer.from(publish.payload).toString());

    it('waits for the queue: no PUBACK while the confirm is held back, then one', async () => {
      valve.hold();
      client.publish(topicOf('a1'), '{"n":1}', 1);
      await until('the queue is asked', () => valve.heldNow === 1);
      // A whole round trip after it: were the PUBACK under way, it would be here first.
      const other = await connectAs(broker.port, 'a2');
      await other.endAsync();
      expect(client.pubacks).to.deep.equal([]);
      valve.letGo();
      await until('PUBACK', () => client.pubacks.length === 1);
      expect(client.pubacks).to.deep.equal([1]);
      expect(await payloadsOf(1)).to.deep.equal(['{"n":1}']);
    });

    it('waits for the queue with the PUBREC of QoS 2 too', async () => {
      valve.hold();
      client.send({
        cmd: 'publish',
        topic: topicOf('a1'),
        payload: '{"n":1}',
        qos: 2,
        dup: false,
        retain: false,
        messageId: 9,
      });
      await until('the queue is asked', () => valve.heldNow === 1);
      const other = await connectAs(broker.port, 'a2');
      await other.endAsync();
      expect(client.of('pubrec')).to.have.length(0);
      valve.letGo();
      await until('PUBREC', () => client.of('pubrec').length === 1);
      await payloadsOf(1);
    });

    it('comes in the order of the publishes, even when a later batch is confirmed first', async () => {
      valve.hold();
      publishMany(12);
      await until('three batches are asked', () => valve.heldNow === 3);
      valve.letGo('reversed');
      await until('all PUBACKs', () => client.pubacks.length === 12);
      expect(client.pubacks).to.deep.equal(range(12));
      await payloadsOf(12);
    });

    it('stands for a publish that is in the queue, in order, whole, with what is known of its sensor', async () => {
      const before = Date.now();
      publishMany(50);
      await until('all PUBACKs', () => client.pubacks.length === 50);
      const taken = await takeOut(valve, 50);
      expect(taken.map((publish) => Buffer.from(publish.payload).toString())).to.deep.equal(
        range(50).map((n) => `{"n":${n}}`),
      );
      for (const { farm, field, sensor, topic, received } of taken) {
        expect({ farm, field, sensor, topic }).to.deep.equal({
          farm: 'north',
          field: 'f1',
          sensor: 'a1',
          topic: topicOf('a1'),
        });
        // No two of a sensor have the same: those of one millisecond run ahead of the clock, one each.
        expect(received).to.be.within(before, Date.now() + 50);
      }
    });

    it('has a bound: one client has no more publishes on their way than it may, however many it sends at once', async () => {
      valve.hold();
      publishMany(500);
      await until('the window is full', () => valve.heldNow === 4);
      const other = await connectAs(broker.port, 'a2');
      await other.endAsync();
      expect(broker.counters.received).to.equal(16);
      valve.letGo();
      await until('all PUBACKs', () => client.pubacks.length === 500);
      expect(client.pubacks).to.deep.equal(range(500));
      expect(await payloadsOf(500)).to.deep.equal(range(500).map((n) => `{"n":${n}}`));
    });

    it('still goes out for what was under way when the broker stops', async () => {
      valve.hold();
      publishMany(8);
      await until('two batches are asked', () => valve.heldNow === 2);
      const stopped = broker.stop(20_000);
      valve.letGo();
      await stopped;
      await until('the socket is closed', () => client.closed);
      expect(client.pubacks).to.deep.equal(range(8));
      expect(await payloadsOf(8)).to.have.length(8);
    });

    it('is never sent for what the queue has not confirmed when the broker stops, and stopping keeps its deadline', async () => {
      valve.hold();
      publishMany(8);
      await until('two batches are asked', () => valve.heldNow === 2);
      const begin = performance.now();
      await broker.stop(1_000);
      expect(performance.now() - begin).to.be.below(10_000);
      await until('the socket is closed', () => client.closed);
      expect(client.pubacks).to.deep.equal([]);
      valve.letGo();
      await payloadsOf(8);
    });
  });
}
