import { expect } from 'chai';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { EVENT_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import type { Broker } from '../../broker/broker.ts';
import { LogUnavailable, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { REMEMBERED_VALUES } from '../../dashboard-gateway/events/overwritten.ts';
import { compareWithStore } from '../../dashboard-gateway/import/comparison.ts';
import { batchId } from '../../telemetry/batch.ts';
import { decodeEvent, encodeEvent, type Overwritten } from '../../telemetry/event.ts';
import { instant } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { Worker } from '../../workers/worker.ts';
import { connectAs, FARMS, startBroker, Valve } from '../broker/harness.ts';
import { influx } from '../services/influx.ts';
import { itIfLong } from '../services/length.ts';
import { Book } from '../services/registry.ts';
import { until } from '../services/wait.ts';
import { call, overlay, Place, problemCode, reading } from './harness.ts';

const T = 1_764_000_000_000;

/** A log whose appends fail while it is `away`. */
class Switch {
  away = false;
  readonly log: Log;

  constructor(inner: Log) {
    this.log = overlay(inner, {
      append: async (body) => {
        if (this.away) throw new LogUnavailable('switched off');
        await inner.append(body);
      },
    });
  }
}

describe('the event log', function () {
  this.timeout(60_000);
  let place: Place;

  beforeEach(async () => {
    place = await Place.open();
  });

  afterEach(async () => {
    await place.close();
  });

  async function recorded(log: Log = place.events): Promise<Overwritten[]> {
    const { first } = await log.head();
    const events: Overwritten[] = [];
    for (let from = first; ; ) {
      const entries = await log.read({ offset: from }, 1_000);
      const last = entries.at(-1);
      if (last === undefined) return events;
      for (const { body } of entries) {
        const event = decodeEvent(body);
        if (event?.kind === 'overwritten') events.push(event);
      }
      from = last.offset + 1;
    }
  }

  /** The events once there are so many, and once a value announced after all others has made its own. */
  async function eventually(log: Log = place.events): Promise<Overwritten[]> {
    const mark = T + 999_000 + Math.floor(Math.random() * 900);
    await place.announce([at(mark, { mark: 0 })]);
    await place.announce([at(mark, { mark: 1 })]);
    await until('the mark is in the event log', async () => (await recorded(log)).some(({ ts }) => ts === mark));
    return (await recorded(log)).filter(({ metric }) => metric !== 'mark');
  }

  function at(ts: number, values: Readonly<Record<string, number>>, over: Partial<Reading> = {}): Reading {
    return reading({ ts, received: ts, values, ...over });
  }

  describe('with a broker and a worker', () => {
    let broker: Broker;
    let worker: Worker;

    beforeEach(async () => {
      const { queue, store, live, dead } = place;
      const registry = new Book(FARMS);
      broker = await startBroker(queue, { registry });
      const openTrials = () => Promise.reject(new Error('no trial here'));
      worker = new Worker({ queue, store, live, dead, openTrials, registry, log: silent });
      await worker.start();
    });

    afterEach(async () => {
      await broker.stop(2_000);
      await worker.stop(2_000);
    });

    it('has the old and the new value of two publishes with one time, and nothing of one that was sent twice', async () => {
      await place.gateway();
      const sensor = await connectAs(broker.port, 'a1');
      const topic = telemetryTopic('north', 'a1');
      const send = (ts: number, values: object) =>
        sensor.publishAsync(topic, JSON.stringify({ ts, values }), { qos: 1 });
      await send(T, { soil_moisture: 30, battery: 3.5 });
      await send(T, { soil_moisture: 31, battery: 3.5 });
      await send(T + 1, { soil_moisture: 40 });
      await send(T + 1, { soil_moisture: 40 });
      await sensor.endAsync();
      const events = await until('an event', async () => {
        const found = await recorded();
        return found.length > 0 && (await place.queue.depth()) === 0 && (await eventually());
      });
      expect(events).to.have.length(1);
      const [event] = events;
      expect(event).to.include({ kind: 'overwritten', farm: 'north', sensor: 'a1', metric: 'soil_moisture', ts: T });
      expect(event).to.include({ old: 30, new: 31, origin: 'live' });
      const { epoch } = await place.live.head();
      expect(event?.id).to.match(new RegExp(`^${epoch}:\\d+:\\d+:soil_moisture$`));
    });

    it('has both values of publishes that came in one batch', async () => {
      const valve = new Valve(place.queue);
      await broker.stop(2_000);
      broker = await startBroker(valve, { registry: new Book(FARMS) });
      await place.gateway();
      const sensor = await connectAs(broker.port, 'a1');
      const topic = telemetryTopic('north', 'a1');
      valve.hold();
      // The first is held on its way to the queue; the other two wait behind it and become one batch.
      const sent = [5, 6, 7].map((soil_moisture, i) =>
        sensor.publishAsync(topic, JSON.stringify({ ts: i === 0 ? T + 5 : T + 6, values: { soil_moisture } }), {
          qos: 1,
        }),
      );
      await until('the first is held', () => valve.heldNow > 0);
      valve.letGo();
      await Promise.all(sent);
      await sensor.endAsync();
      const [event] = await until('an event', async () => {
        const found = await recorded();
        return found.length > 0 && found;
      });
      expect(event).to.include({ metric: 'soil_moisture', ts: T + 6, old: 6, new: 7 });
      expect(event?.oldBatch, 'it was one batch').to.equal(event?.newBatch);
    });
  });

  it('has nothing of a batch that is delivered again, whole or in parts', async () => {
    await place.gateway();
    const both = [at(T, { moisture: 1 }), at(T, { moisture: 2 })];
    const id = batchId();
    await place.announce(both, id);
    await place.announce(both, id);
    await place.announce(both.slice(0, 1), `${id}#0-1`);
    await place.announce(both.slice(1), `${id}#1-2`);
    expect((await eventually()).map(({ old, new: fresh }) => [old, fresh])).to.deep.equal([[1, 2]]);
  });

  it('has nothing of values with another count behind their millisecond, sensor, farm or metric', async () => {
    await place.gateway();
    await place.announce([at(instant(T, 1), { moisture: 1 })]);
    await place.announce([at(instant(T, 2), { moisture: 2 })]);
    await place.announce([at(T, { moisture: 3 })]);
    await place.announce([at(T, { moisture: 4 }, { farm: 'south' })]);
    await place.announce([at(T, { moisture: 5 }, { sensor: 's2' })]);
    await place.announce([at(T, { depth: 6 })]);
    expect(await eventually()).to.deep.equal([]);
    await place.announce([at(instant(T, 2), { moisture: 7 })]);
    const events = await eventually();
    expect(events.map(({ ts, old, new: fresh }) => [ts, old, fresh])).to.deep.equal([[instant(T, 2), 2, 7]]);
  });

  it('names the batches, each new value against the one before it', async () => {
    await place.gateway();
    const ids = [batchId(), batchId(), batchId()];
    for (const [moisture, id] of ids.entries()) await place.announce([at(T, { moisture })], id);
    expect((await eventually()).map((event) => [event.old, event.new, event.oldBatch, event.newBatch])).to.deep.equal([
      [0, 1, ids[0], ids[1]],
      [1, 2, ids[1], ids[2]],
    ]);
  });

  it('has an event of two gateways twice, with one id', async () => {
    await place.gateway();
    const other = await openFileLog(place.folder, 'events-of-another', EVENT_LOG_LIMITS);
    try {
      await place.gateway({ events: other });
      await place.announce([at(T, { moisture: 1, battery: 3 }), at(T + 1, { moisture: 1 })]);
      await place.announce([at(T + 1, { moisture: 2 }), at(T, { moisture: 2, battery: 2 })]);
      const ids = async (log: Log) => (await eventually(log)).map(({ id }) => id);
      const found = await ids(place.events);
      expect(await ids(other)).to.deep.equal(found);
      expect(new Set(found).size).to.equal(3);
    } finally {
      for (const gateway of place.gateways.splice(0)) await gateway.stop(5_000);
      await other.close();
    }
  });

  it('has no event again when a gateway starts anew, and has what came while none ran', async () => {
    const gateway = await place.gateway();
    await place.announce([at(T, { moisture: 1 })]);
    await place.announce([at(T, { moisture: 2, battery: 3 }), at(T, { battery: 4 })]);
    expect(await eventually()).to.have.length(2);
    await gateway.stop(5_000);
    place.gateways.length = 0;
    await place.announce([at(T, { moisture: 3 })]);
    // An import's events in between are about no entry of the live log.
    const about = { farm: 'north', sensor: 's1', metric: 'rain', ts: T, old: 1, new: 2, newBatch: 'i', at: T } as const;
    await place.events.append(encodeEvent({ kind: 'overwritten', id: 'i:0:rain', ...about, origin: 'import' }));
    await place.gateway();
    const events = (await eventually()).filter(({ origin }) => origin === 'live');
    expect(events.map(({ metric, old, new: fresh }) => [metric, old, fresh])).to.deep.equal([
      ['moisture', 1, 2],
      ['battery', 3, 4],
      ['moisture', 2, 3],
    ]);
  });

  it('is caught up with when it was away, and what found no room meanwhile is counted', async () => {
    const events = new Switch(place.events);
    events.away = true;
    const gateway = await place.gateway({ events: events.log });
    const vera = await place.watching(gateway, 'vera');
    vera.say({ type: 'subscribe', id: 1, farm: 'north' });
    await vera.next('snapshot');
    const many = (moisture: number) => Array.from({ length: 10_100 }, (_, i) => at(T + i, { moisture }));
    for (let from = 0; from < 10_100; from += 1_010) await place.announce(many(1).slice(from, from + 1_010));
    for (let from = 0; from < 10_100; from += 1_010) await place.announce(many(2).slice(from, from + 1_010));
    // That somebody signed in waits too.
    await until('some are lost', async () => (await place.counted('loam_events_total', 'lost')) === 101);
    await place.announce([at(Date.now(), { moisture: 77 })]);
    await until('viewers still get readings', () => JSON.stringify(vera.frames).includes('77'));
    expect(await recorded()).to.deep.equal([]);
    events.away = false;
    await until('those that waited are written', async () => (await recorded()).length === 9_999, {
      timeoutMs: 30_000,
    });
    expect(await place.counted('loam_events_total', 'written')).to.equal(10_000);
    expect(await place.counted('loam_events_total', 'lost')).to.equal(101);
  });

  itIfLong('keeps no gateway from starting, when it answers nothing or with an error', async () => {
    const head = [() => Promise.reject(new LogUnavailable('away')), () => new Promise<never>(() => {})];
    for (const [i, silentHead] of head.entries()) {
      const gateway = await place.gateway({ events: overlay(place.events, { head: silentHead }) });
      await place.announce([at(T + i, { moisture: 1 })]);
      await place.announce([at(T + i, { moisture: 2 })]);
      await until('an event', async () => (await recorded()).some(({ ts }) => ts === T + i));
      await gateway.stop(5_000);
      place.gateways.pop();
    }
  });

  it('misses a value that comes after as many others as are remembered', async function () {
    this.timeout(120_000);
    await place.gateway();
    const others = async (count: number, from: number) => {
      for (let i = 0; i < count; i += 4_096) {
        const size = Math.min(4_096, count - i);
        await place.announce(Array.from({ length: size }, (_, j) => at(from + i + j, { rain: 1 }, { sensor: 's2' })));
      }
    };
    await place.announce([at(T, { moisture: 1 })]);
    await others(REMEMBERED_VALUES - 1, 0);
    await place.announce([at(T, { moisture: 2 })]);
    await others(REMEMBERED_VALUES, T);
    await place.announce([at(T, { moisture: 3 })]);
    expect((await eventually()).map(({ old, new: fresh }) => [old, fresh])).to.deep.equal([[1, 2]]);
  });

  describe('of imports', () => {
    const stored = [at(T, { moisture: 30, battery: 3.1 }), at(T + 60_000, { moisture: 31 })];

    const post = async (port: number, cookie: string, rows: readonly (readonly [number, number, object])[]) =>
      call(port, '/api/farms/north/import', { method: 'POST', headers: { cookie }, body: { sensor: 's1', rows } });

    it('has what overwrites another value of the store, and the answer says how many', async () => {
      await place.store.write(stored);
      const gateway = await place.gateway();
      const ada = await place.signIn(gateway, 'ada');
      const answer = await post(gateway.port, ada, [
        [1, T, { moisture: 35, battery: 3.1, rain: 2 }],
        [2, T + 60_000, { moisture: 31 }],
        [3, T + 120_000, { moisture: 32 }],
      ]);
      expect([answer.status, JSON.parse(answer.text)]).to.deep.equal([
        202,
        { accepted: 3, refused: [], overwritten: 1 },
      ]);
      const [event, ...rest] = await until('an event', async () => {
        const found = await recorded();
        return found.length > 0 && found;
      });
      expect(rest).to.deep.equal([]);
      expect(event).to.include({ farm: 'north', sensor: 's1', metric: 'moisture', ts: T, old: 30, new: 35 });
      expect(event).to.include({ origin: 'import', id: `${event?.newBatch}:0:moisture` });
      expect(event).to.not.have.property('oldBatch');
      expect(await place.queue.depth(), 'it is taken').to.equal(1);
    });

    it('compares each metric of two lines with one time', async () => {
      await place.store.write(stored);
      const gateway = await place.gateway();
      const ada = await place.signIn(gateway, 'ada');
      const rows = [
        [1, T, { moisture: 35 }],
        [2, T, { battery: 3.2 }],
      ] as const;
      expect(JSON.parse((await post(gateway.port, ada, rows)).text)).to.include({ overwritten: 2 });
    });

    it('has nothing of numbers that InfluxDB gives back as they were written', async () => {
      const { storeUrl } = await influx();
      const store = await openInfluxStore(storeUrl('compared'));
      try {
        const numbers = [0.1 + 0.2, 1 / 3, -0, 5e-324, 1.7976931348623157e308, 2 ** 53 + 2, -1.5e-7, 64.4];
        const values = Object.fromEntries(numbers.map((number, i) => [`m${i}`, number]));
        const readings = [{ ts: T, values }];
        await store.write([at(T, values)]);
        const given = { farm: 'north', sensor: 's1', batch: 'b', at: T };
        const left = new AbortController().signal;
        expect(await compareWithStore(store, { ...given, readings }, left)).to.deep.include({ overwritten: [] });
        const other = [{ ts: T, values: { ...values, m7: 64.5 } }];
        const { overwritten } = await compareWithStore(store, { ...given, readings: other }, left);
        expect(overwritten.map((event) => [event.metric, event.old, event.new])).to.deep.equal([['m7', 64.4, 64.5]]);
      } finally {
        await store.close();
      }
    });

    it('is not taken unseen: without the store it is refused, to be sent again', async () => {
      const store = overlay(place.store, {
        // biome-ignore lint/correctness/useYield: it fails before its first value, as a store does that is away
        async *export() {
          throw new StoreUnavailable('away');
        },
      });
      const gateway = await place.gateway({ store });
      const ada = await place.signIn(gateway, 'ada');
      const answer = await post(gateway.port, ada, [[1, T, { moisture: 35 }]]);
      expect([answer.status, problemCode(answer)]).to.deep.equal([503, 'store-unavailable']);
      expect(answer.headers['retry-after']).to.equal('5');
      expect(await place.queue.depth()).to.equal(0);
    });

    it('that the queue does not take have overwritten nothing', async () => {
      await place.store.write(stored);
      const queue = overlay(place.queue, { publish: () => Promise.reject(new QueueUnavailable('away')) });
      const gateway = await place.gateway({ queue });
      const ada = await place.signIn(gateway, 'ada');
      expect((await post(gateway.port, ada, [[1, T, { moisture: 35 }]])).status).to.equal(503);
      expect(await eventually()).to.deep.equal([]);
    });

    it('says how many lines were not compared when more is stored between their times than is read', async () => {
      const store = overlay(place.store, {
        async *export() {
          for (let i = 0; ; i++) yield { sensor: 's1', metric: 'moisture', ts: T + i, value: 1, received: T };
        },
      });
      const gateway = await place.gateway({ store });
      const ada = await place.signIn(gateway, 'ada');
      const rows = [
        [1, T, { moisture: 2 }],
        [2, T + 499_999, { moisture: 2 }],
        [3, T + 500_000, { moisture: 2 }],
        [4, T + 900_000, { moisture: 2 }],
      ] as const;
      const answer = await post(gateway.port, ada, rows);
      const said = { accepted: 4, refused: [], overwritten: 2, notCompared: 2 };
      expect([answer.status, JSON.parse(answer.text)]).to.deep.equal([202, said]);
    });
  });
});
