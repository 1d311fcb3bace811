import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Offenders } from '../../broker/auth/offenders.ts';
import { Rights } from '../../broker/auth/rights.ts';
import { newCounters } from '../../broker/counters.ts';
import { MemoryBudget } from '../../broker/ingest/memory-budget.ts';
import { PublishBatcher } from '../../broker/ingest/publish-batcher.ts';
import { Publishing } from '../../broker/ingest/publishing.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { DEFAULT_BROKER_LIMITS as limits } from '../../broker/limits.ts';
import { FramedSocket } from '../../broker/mqtt/framed-socket.ts';
import { Session } from '../../broker/sessions/session.ts';
import { SessionState } from '../../broker/sessions/session-state.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, topicOf, Valve } from './harness.ts';

describe('a publish that is given up while its client is still connected', () => {
  it('is not acknowledged, whereas one that the queue has is', async () => {
    const valve = new Valve(await openFileQueue(await temporaryFolder()));
    const counters = newCounters();
    const metrics = new Metrics();
    const batcher = new PublishBatcher(valve, limits, counters, silent, metrics);
    const budget = new MemoryBudget(limits);
    const wire = new PassThrough();
    const framedSocket = new FramedSocket(
      { wire, address: '' },
      { limits, counters, budget, shut: () => batcher.shut },
    );
    const identity = { sensor: 'a1', farm: 'north', role: 'sensor' } as const;
    const acknowledged: number[] = [];
    framedSocket.acknowledge = (_qos, id) => acknowledged.push(id);
    const publishing = new Publishing({
      counters,
      receipts: new Receipts({ log: silent }),
      rights: new Rights(new Book(FARMS), 1),
      batcher,
      budget,
      sessionOf: () => undefined,
      onRefused: () => {},
      offenders: new Offenders(1),
      onBrought: () => {},
      onOverlong: () => {},
      mostQos2: 1,
      known: { count: 0, most: 1 },
    });
    const state = new SessionState('a1/x', identity, true, (of) => publishing.takenBy(of));
    const session = new Session(state, framedSocket, 60_000, 60_000);
    const publish = (messageId: number) =>
      session.take({ topic: topicOf('a1'), payload: Buffer.from('{}'), qos: 1, dup: false, messageId }, 0);
    publish(1);
    await until('the first is acknowledged', () => acknowledged.length === 1);
    valve.refuse('full');
    publish(2);
    await until('the queue refuses it', () => counters.queueFailures >= 1);
    expect(session.waits).to.equal(true);
    batcher.close();
    expect(counters.givenUp).to.equal(1);
    expect(acknowledged).to.deep.equal([1]);
    const counted = await metrics.text();
    expect(counted).to.contain('loam_publishes_accepted_total{farm="north"} 2');
    expect(counted).to.contain('loam_publishes_queued_total{farm="north"} 1');
    framedSocket.destroy();
    await valve.close();
  });
});
