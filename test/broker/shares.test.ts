import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { MemoryBudget } from '../../broker/ingest/memory-budget.ts';
import type { BrokerLimits } from '../../broker/limits.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, startBroker, takeOut, topicOf, Valve } from './harness.ts';
import { publish } from './mqtt-bytes.ts';
import { Peer } from './peer.ts';

const MIB = 1024 ** 2;
const FAST = `${FARMS}rates: { sensor: { bytes: 1000000000 }, bridge: { bytes: 1000000000 } }\n`;

describe('an honest client beside one that hoards', function () {
  this.timeout(60_000);
  let queue: Valve;
  let broker: Broker;
  const peers: Peer[] = [];

  beforeEach(async () => {
    const inner: Queue = await openFileQueue(await temporaryFolder());
    queue = new Valve(inner);
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.cut();
    queue.letGo();
    await broker.stop(2_000);
    await queue.close();
  });

  async function start(limits: Partial<BrokerLimits> = {}): Promise<void> {
    broker = await startBroker(queue, { registry: new Book(FAST), limits });
  }
  async function connected(username: string, clientId = username): Promise<Peer> {
    const peer = new Peer(broker.port);
    peers.push(peer);
    await peer.connect({ username, password: `secret-${username}`, clientId });
    return peer;
  }
  /** Publishes of 10 kB, one after another. */
  async function isServed(peer: Peer, times = 20): Promise<void> {
    for (let i = 1; i <= times; i++) {
      peer.send(publish(2, topicOf('a2'), i, Buffer.alloc(10_000, 'h')));
      await peer.next('puback', i);
    }
  }

  it('has its PUBACKs while 100 publishes are half sent, at any limit of a payload', async () => {
    for (const payloadBytes of [256 * 1024, MIB]) {
      await start({ payloadBytes });
      const half = publish(2, topicOf('a1'), 1, Buffer.alloc(payloadBytes, 'x')).subarray(0, payloadBytes - 10);
      const hoarders = await Promise.all(Array.from({ length: 100 }, (_, i) => connected('a1', `h${i}`)));
      for (const hoarder of hoarders) hoarder.send(half);
      // Those over the share are closed: so the others have sent all that they will.
      await until('what it may have is used up', () => hoarders.some(({ closed }) => closed));
      const honest = await connected('a2');
      await isServed(honest);
      expect(honest.closed).to.equal(false);
      expect(broker.held.waitingBytes).to.be.below(5 * MIB);
      expect(broker.counters.closedOverMemory).to.be.above(0);
      await takeOut(queue, 20);
      for (const peer of peers.splice(0)) peer.cut();
      await until('nothing is held', () => broker.held.waitingBytes === 0);
      await broker.stop(2_000);
    }
  });

  it('has its PUBACKs while the queue has not confirmed what the other has sent', async () => {
    await start({ publishBytes: 16 * MIB });
    queue.hold();
    const hoarders = await Promise.all(Array.from({ length: 20 }, (_, i) => connected('a1', `h${i}`)));
    for (const hoarder of hoarders)
      for (let i = 1; i <= 4; i++) hoarder.send(publish(2, topicOf('a1'), i, Buffer.alloc(100_000, 'x')));
    await until('its share is used up', () => broker.held.publishBytes >= MIB);
    queue.pass();
    await isServed(await connected('a2'));
    expect(broker.held.publishBytes).to.be.below(MIB + 200_000);
    queue.letGo();
    await until('all have their PUBACKs', () => hoarders.every((hoarder) => hoarder.of('puback').length === 4));
    expect(broker.held).to.include({ publishes: 0, publishBytes: 0, waitingBytes: 0 });
  });

  it('finds the room of a share again when it is given back, and nothing is kept of whoever holds nothing', () => {
    const budget = new MemoryBudget({ publishes: 100, publishBytes: 1_600, waitingBytes: 160_000 });
    expect(budget.take(100, 'a')).to.equal(true);
    expect(budget.take(1, 'a')).to.equal(false);
    expect(budget.take(100, 'b')).to.equal(true);
    budget.give(100, 'a');
    expect(budget.take(1, 'a')).to.equal(true);
    expect(budget.addWaiting(10_000, 10_000, 'a')).to.equal(true);
    expect(budget.addWaiting(5_000, 5_000, 'a')).to.equal(false);
    expect(budget.addWaiting(4_096, 4_096, 'a')).to.equal(true);
    expect(budget.addWaiting(10_000, 10_000, 'b')).to.equal(true);
    budget.removeWaiting(10_000, 'b');
    budget.removeWaiting(19_096, 'a');
    for (const [bytes, who] of [
      [1, 'a'],
      [100, 'b'],
    ] as const)
      budget.give(bytes, who);
    expect(budget.held).to.deep.equal({ publishes: 0, publishBytes: 0, waitingBytes: 0 });
    expect(budget.sharing).to.equal(0);
  });
});
