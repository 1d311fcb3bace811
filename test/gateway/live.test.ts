import { expect } from 'chai';
import { z } from 'zod';
import type { Follower, Log } from '../../backbone/ports/log.ts';
import { StoreUnavailable, Trimmed } from '../../core/errors.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { until } from '../services/wait.ts';
import { call, type Frame, overlay, Place, reading } from './harness.ts';
import { SILENT, Silent } from './silent.ts';

/** When a test began: long runs must not make its readings old. */
let NOW = 0;

const snapshot = z.object({
  id: z.number(),
  epoch: z.string(),
  seq: z.number(),
  sensors: z.array(
    z.object({
      sensor: z.string(),
      field: z.string(),
      name: z.string(),
      state: z.string(),
      since: z.number(),
      lastSeen: z.number().nullable(),
      skewMs: z.number(),
      refused: z.number(),
      battery: z.number().optional(),
      signal: z.number().optional(),
      values: z.record(z.string(), z.tuple([z.number(), z.number()])),
    }),
  ),
});
const rows = z.object({
  farm: z.string(),
  field: z.string(),
  rows: z.array(z.tuple([z.string(), z.string()], z.number())),
});
const tick = z.object({ farm: z.string(), seq: z.number() });

const valueIn = (frame: Frame, sensor: string) =>
  snapshot.parse(frame).sensors.find((s) => s.sensor === sensor)?.values.moisture;

describe('live', () => {
  let place: Place;
  let gateway: Gateway;
  // Made in the first test and looked at in the last: the time until their gateway ends them passes meanwhile.
  let hushed: Place;
  let silent: Silent | undefined;

  before(async () => {
    hushed = await Place.open();
  });

  after(async () => {
    silent?.end();
    await hushed.close();
  });

  beforeEach(async () => {
    NOW = Date.now();
    place = await Place.open();
    gateway = await place.gateway();
  });

  afterEach(() => place.close());

  it('calls a sensor by its id where another farm has registered that id: its name is that farm’s', async () => {
    await place.store.write([reading({ farm: 'south', sensor: 's1' })]);
    const client = await place.watching(gateway, 'sam');
    client.say({ type: 'subscribe', id: 1, farm: 'south' });
    const { sensors } = snapshot.parse(await client.next('snapshot'));
    expect(sensors.find(({ sensor }) => sensor === 's1')).to.include({ name: 's1', field: 'unassigned' });
  });

  it('answers others while an address holds 500 connections that say nothing', async () => {
    const besieged = await hushed.gateway();
    silent = await Silent.open(besieged.port);
    expect((await call(besieged.port, '/healthz')).status).to.equal(200);
    const client = await hushed.watching(besieged, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    expect(silent.left).to.equal(SILENT);
  });

  it('sends a snapshot of the store, then what is announced, then a tick with its offset', async () => {
    await place.store.write([reading({ ts: NOW - 1000, values: { moisture: 30 } })]);
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 7, farm: 'north' });
    const first = snapshot.parse(await client.next('snapshot'));
    expect(first.id).to.equal(7);
    expect(first.epoch).to.equal((await place.live.head()).epoch);
    expect(first.sensors).to.deep.equal([
      {
        sensor: 's1',
        field: 'f1',
        name: 'Row 3',
        state: 'online',
        since: NOW - 1000,
        lastSeen: NOW - 1000,
        skewMs: 0,
        refused: 0,
        values: { moisture: [NOW - 1000, 30] },
      },
      {
        sensor: 's2',
        field: 'f2',
        name: 's2',
        state: 'never',
        since: 0,
        lastSeen: null,
        skewMs: 0,
        refused: 0,
        values: {},
      },
    ]);

    await place.announce([reading({ ts: NOW, values: { moisture: 31.2 } })]);
    const frame = rows.parse(await client.next('readings'));
    expect(frame).to.deep.equal({ farm: 'north', field: 'f1', rows: [['s1', 'moisture', NOW, 31.2]] });
    const { seq } = tick.parse(await client.next('tick'));
    expect(seq).to.equal((await place.live.read('first', 100)).at(-1)?.offset);
    expect(seq).to.be.greaterThan(first.seq);
  });

  it('shows nothing of a time to come, neither in a snapshot nor behind it, nor to who comes back', async () => {
    const ahead = Date.now() + 30 * 86_400_000;
    const ofThen = { ts: ahead, received: ahead };
    await place.store.write([reading({ ...ofThen, values: { moisture: 77 } })]);
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 7, farm: 'north' });
    const first = snapshot.parse(await client.next('snapshot'));
    const of = (id: string) => first.sensors.find(({ sensor }) => sensor === id);
    // It was heard, by a clock that was ahead: nobody knows when.
    expect(of('s1')).to.deep.include({ values: {}, state: 'offline', lastSeen: null });
    await place.announce([reading({ ...ofThen, sensor: 's2' }), reading({ sensor: 's2', ts: NOW, values: { ec: 2 } })]);
    expect(rows.parse(await client.next('readings')).rows).to.deep.equal([['s2', 'ec', NOW, 2]]);
    const back = await place.watching(gateway, 'vera');
    back.say({ type: 'subscribe', id: 1, farm: 'north', since: { epoch: first.epoch, seq: first.seq } });
    expect(rows.parse(await back.next('readings')).rows).to.deep.equal([['s2', 'ec', NOW, 2]]);
  });

  it('tells every time in whole milliseconds', async () => {
    const at = NOW + 0.123;
    await place.store.write([reading({ ts: at, received: at, values: { moisture: 30 } })]);
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 7, farm: 'north' });
    const [before] = snapshot.parse(await client.next('snapshot')).sensors;
    expect(before).to.include({ since: NOW, lastSeen: NOW, skewMs: 0 });
    expect(before?.values.moisture).to.deep.equal([NOW, 30]);

    const later = NOW + 0.999;
    await place.announce([reading({ ts: later, received: later, values: { moisture: 31.2 } })]);
    const frame = rows.parse(await client.next('readings'));
    expect(frame.rows).to.deep.equal([['s1', 'moisture', NOW, 31.2]]);
    client.say({ type: 'subscribe', id: 8, farm: 'north' });
    const [after] = snapshot.parse(await client.next('snapshot')).sensors;
    expect(after).to.include({ since: NOW, lastSeen: NOW, skewMs: 0 });
    expect(after?.values.moisture).to.deep.equal([NOW, 31.2]);
  });

  it('shows in a snapshot what was announced and is not stored yet, also before anybody watched', async () => {
    await place.announce([reading({ ts: NOW, values: { moisture: 12 } })]);
    const late = await place.gateway();
    for (const g of [gateway, late]) {
      const client = await place.watching(g, 'ada');
      client.say({ type: 'subscribe', id: 1, farm: 'north' });
      const seen = await until('the value', async () => {
        const frame = await client.next('snapshot');
        return valueIn(frame, 's1') ?? client.say({ type: 'subscribe', id: 1, farm: 'north' });
      });
      expect(seen).to.deep.equal([NOW, 12]);
    }
  });

  it('folds the values of one tick and second into one row', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    const second = Math.floor(NOW / 1000) * 1000;
    await place.announce([2, 6, 4].map((value, i) => reading({ ts: second + i, values: { moisture: value } })));
    expect(rows.parse(await client.next('readings')).rows).to.deep.equal([
      ['s1', 'moisture', second + 2, 4, 2, 6, 4, 3],
    ]);
  });

  it('leaves no hole and goes never back between a snapshot and what follows', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 0, farm: 'north' });
    await client.next('snapshot');
    let asked = 1;
    let end = 0;
    let over = false;
    const appending = (async () => {
      // Until it was asked some times meanwhile, however fast or slow the log is.
      while (end < 400 || asked <= 10) {
        end += 1;
        // Each in a second of its own, and none so far ahead of the clock that it is not one of now.
        await place.announce([reading({ ts: NOW - 1_000_000 + end * 1000, values: { moisture: end } })]);
      }
      over = true;
    })();
    const asking = (async () => {
      // Fewer than a socket may ask at once.
      while (!over && asked < 150) {
        client.say({ type: 'subscribe', id: asked++ % 3, farm: 'north' });
        await client.next('snapshot');
      }
    })();
    await Promise.all([appending, asking]);
    await until('the last value', () =>
      client.all('readings').some((f) => rows.parse(f).rows.some((r) => r[3] === end)),
    );

    let latest: number | undefined;
    let seq = -1;
    for (const frame of client.frames) {
      if (frame.type === 'snapshot') {
        const value = valueIn(frame, 's1')?.[1] ?? 0;
        if (latest !== undefined) expect(value, 'a snapshot says what the frames before it said').to.equal(latest);
        latest = value;
      } else if (frame.type === 'readings') {
        for (const row of rows.parse(frame).rows) {
          expect(row[3], 'the next value').to.equal((latest ?? 0) + 1);
          latest = row[3];
        }
      }
      if (frame.type === 'snapshot' || frame.type === 'tick') {
        const next = z.object({ seq: z.number() }).parse(frame).seq;
        expect(next).to.be.at.least(seq);
        seq = next;
      }
    }
    expect(latest).to.equal(end);
    expect(asked).to.be.greaterThan(10);
  });

  it('drops a batch that is announced a second time', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    await place.announce([reading({ ts: NOW, values: { moisture: 1 } })], 'same');
    await client.next('tick');
    await place.announce([reading({ ts: NOW, values: { moisture: 1 } })], 'same');
    await place.announce([reading({ ts: NOW + 5000, values: { moisture: 2 } })]);
    await until('the value after it', () =>
      client.all('readings').some((f) => rows.parse(f).rows.some((r) => r[3] === 2)),
    );
    expect(client.all('readings').flatMap((f) => rows.parse(f).rows)).to.have.length(2);
  });

  it('counts alike on every gateway', async () => {
    const other = await place.gateway();
    const clients = [await place.watching(gateway, 'ada'), await place.watching(other, 'ada')];
    for (const client of clients) client.say({ type: 'subscribe', id: 1, farm: 'north' });
    for (const client of clients) await client.next('snapshot');
    await place.announce([reading()]);
    const last = (await place.live.read('first', 100)).at(-1)?.offset ?? 0;
    for (const client of clients) {
      let { seq } = tick.parse(await client.next('tick'));
      // The gateways themselves say in the log that they have begun.
      while (seq < last) ({ seq } = tick.parse(await client.next('tick')));
      expect(seq).to.equal(last);
    }
  });

  it('tells a late value without taking the newest one back', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    await place.announce([reading({ ts: NOW, values: { moisture: 5 } })]);
    await client.next('tick');
    await place.announce([reading({ ts: NOW - 60_000, values: { moisture: 4 } })]);
    expect(rows.parse(await client.next('readings')).rows).to.deep.equal([['s1', 'moisture', NOW - 60_000, 4]]);
    client.say({ type: 'subscribe', id: 2, farm: 'north' });
    expect(valueIn(await client.next('snapshot'), 's1')).to.deep.equal([NOW, 5]);
  });

  it('sends a field only to those who asked for it, and each frame once', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north', fields: ['f2'] });
    expect(snapshot.parse(await client.next('snapshot')).sensors.map((s) => s.sensor)).to.deep.equal(['s2']);
    await place.announce([reading()]);
    await client.next('tick');
    expect(client.all('readings')).to.have.length(0);

    client.say({ type: 'subscribe', id: 2, farm: 'north' });
    await client.next('snapshot');
    await place.announce([reading({ sensor: 's2', values: { ec: 1 } })]);
    await client.next('tick');
    expect(client.all('readings')).to.have.length(1);

    client.say({ type: 'unsubscribe', id: 2 });
    client.say({ type: 'unsubscribe', id: 2 });
    expect((await client.next('error')).code).to.equal('unknown-subscription');
    await place.announce([reading()]);
    await client.next('tick');
    expect(client.all('readings')).to.have.length(1);
  });

  it('shows a sensor that nobody registered under unassigned', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    await place.announce([reading({ sensor: 'stray', values: { ec: 1 } })]);
    expect(rows.parse(await client.next('readings')).field).to.equal('unassigned');
  });

  it('refuses a farm that is not the user’s, existing or not, and sends nothing of it', async () => {
    const client = await place.watching(gateway, 'sam');
    for (const farm of ['north', 'nowhere']) {
      client.say({ type: 'subscribe', id: 1, farm });
      expect(await client.next('error')).to.include({ code: 'forbidden', id: 1 });
    }
    client.say({ type: 'subscribe', id: 2, farm: 'south' });
    await client.next('snapshot');
    await place.announce([reading(), reading({ farm: 'south', sensor: 't1' })]);
    expect(rows.parse(await client.next('readings')).farm).to.equal('south');
    expect(JSON.stringify(client.frames)).not.to.include('s1');
  });

  it('says when a sensor falls silent and when it is back', async () => {
    let now = NOW;
    const other = await place.gateway({ now: () => now });
    await place.store.write([reading({ ts: NOW, received: NOW })]);
    const client = await place.watching(other, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    now = NOW + 125_000;
    expect(await client.next('status')).to.include({ sensor: 's1', state: 'late', since: NOW + 120_000 });
    now = NOW + 301_000;
    expect(await client.next('status')).to.include({ sensor: 's1', state: 'offline', since: NOW + 300_000 });
    await place.announce([reading({ ts: now, received: now })]);
    expect(await client.next('status')).to.include({ sensor: 's1', state: 'online' });
  });

  it('ends the socket of a user who is removed, and the subscription of one who loses the farm', async () => {
    const removed = await place.watching(gateway, 'vera');
    removed.say({ type: 'subscribe', id: 1, farm: 'north' });
    const demoted = await place.watching(gateway, 'ada');
    demoted.say({ type: 'subscribe', id: 1, farm: 'north' });
    demoted.say({ type: 'subscribe', id: 2, farm: 'south' });
    for (const client of [removed, demoted]) await client.next('snapshot');
    await demoted.next('snapshot');
    await place.edit((text) => text.replace('name: vera', 'name: wilma').replace("'*': admin", 'south: admin'));
    expect((await removed.ended()).code).to.equal(4401);
    expect(await demoted.next('error')).to.include({ code: 'forbidden', id: 1 });
    await place.announce([reading(), reading({ farm: 'south', sensor: 't1' })]);
    expect(rows.parse(await demoted.next('readings')).farm).to.equal('south');
    expect(demoted.all('readings')).to.have.length(1);
  });

  it('ends the socket of a removed user because the registry changed, not at the next look around', async () => {
    const other = await place.gateway({ checkMs: 3_600_000 });
    const client = await place.watching(other, 'vera');
    await place.edit((text) => text.replace('name: vera', 'name: wilma'));
    expect((await client.ended()).code).to.equal(4401);
  });

  it('ends a socket when its session is over', async () => {
    let now = NOW;
    const other = await place.gateway({ now: () => now });
    const client = await place.watching(other, 'vera');
    now += 12 * 3_600_000 + 1_000;
    expect((await client.ended()).code).to.equal(4401);
  });

  it('shows a sensor anew when the registry moves it to another field', async () => {
    const client = await place.watching(gateway, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north', fields: ['f2'] });
    expect(snapshot.parse(await client.next('snapshot')).sensors).to.have.length(1);
    await place.edit((text) => text.replace('id: s1, farm: north, field: f1', 'id: s1, farm: north, field: f2'));
    expect(snapshot.parse(await client.next('snapshot')).sensors).to.have.length(2);
  });

  describe('how a sensor is', () => {
    const letter = (sensor: string, at = NOW) => {
      const publish = { farm: 'north', field: 'f1', sensor, topic: 't', payload: new Uint8Array(1), received: at };
      return encodeDead({ publish, reason: 'not_json', explanation: '', at });
    };
    /** The list of sensors, as a snapshot has them: it must say the same of each. */
    const listed = async (of: Gateway) => {
      const cookie = await place.signIn(of, 'ada');
      const { sensors } = JSON.parse((await call(of.port, '/api/farms/north/sensors', { headers: { cookie } })).text);
      return sensors.map(({ id, interval: _, role: __, position: ___, ...is }: Record<string, unknown>) => ({
        sensor: id,
        ...is,
      }));
    };
    const withoutValues = (sensors: z.infer<typeof snapshot>['sensors']) => sensors.map(({ values: _, ...is }) => is);

    it('counts what was refused of it within a day, in a status and in snapshots, on every gateway alike', async () => {
      await place.dead.append(letter('s1', NOW - 25 * 3_600_000));
      await place.dead.append(letter('s1'));
      const client = await place.watching(gateway, 'vera');
      client.say({ type: 'subscribe', id: 1, farm: 'north' });
      await client.next('snapshot');
      await place.dead.append(letter('s1'));
      await place.dead.append(letter('s2'));
      await until('the count', () => client.all('status').some((f) => f.sensor === 's1' && f.refused === 2));
      const late = await place.gateway();
      for (const g of [gateway, late]) {
        const other = await place.watching(g, 'ada');
        other.say({ type: 'subscribe', id: 1, farm: 'north' });
        const { sensors } = snapshot.parse(await other.next('snapshot'));
        expect(sensors.map((s) => s.refused)).to.deep.equal([2, 1]);
        expect(await listed(g)).to.deep.equal(withoutValues(sensors));
      }
    });

    it('tells how far its clock is off, its battery and its signal', async () => {
      const client = await place.watching(gateway, 'vera');
      client.say({ type: 'subscribe', id: 1, farm: 'north' });
      await client.next('snapshot');
      const values = { moisture: 1, battery: 86.7, rssi: -97 };
      await place.announce([reading({ deviceTs: NOW - 3_612_345, values })]);
      expect(await client.next('status')).to.deep.include({
        sensor: 's1',
        skewMs: -3_600_000,
        battery: 87,
        signal: -95,
      });
      client.say({ type: 'subscribe', id: 2, farm: 'north' });
      const { sensors } = snapshot.parse(await client.next('snapshot'));
      expect(sensors[0]).to.include({ skewMs: -3_600_000, battery: 87, signal: -95 });
      expect(await listed(gateway)).to.deep.equal(withoutValues(sensors));
    });

    it('does not take a backfill for a wrong clock, nor its values for the newest', async () => {
      const client = await place.watching(gateway, 'vera');
      client.say({ type: 'subscribe', id: 1, farm: 'north' });
      await client.next('snapshot');
      await place.announce([reading({ ts: NOW, received: NOW })]);
      await client.next('tick');
      const old = { ts: NOW - 600_000, received: NOW + 1, backfill: true, values: { moisture: 9 } } as const;
      await place.announce([reading(old)]);
      await client.next('tick');
      client.say({ type: 'subscribe', id: 2, farm: 'north' });
      const { sensors } = snapshot.parse(await client.next('snapshot'));
      expect(sensors[0]).to.deep.include({ skewMs: 0, lastSeen: NOW + 1, values: { moisture: [NOW, 31.2] } });
    });
  });

  it('begins anew with a gap when the log was trimmed past it', async () => {
    const broken = breakable(place.live);
    const other = await place.gateway({ live: broken.log });
    const client = await place.watching(other, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    broken.end();
    await client.next('gap');
    await client.next('snapshot');
    await place.announce([reading()]);
    await client.next('readings');
  });

  it('keeps a subscription that the store cannot serve yet, and serves it when it can', async () => {
    let down = true;
    const latest: typeof place.store.latest = (farm) =>
      down ? Promise.reject(new StoreUnavailable('down')) : place.store.latest(farm);
    const store = overlay(place.store, { latest });
    const other = await place.gateway({ store });
    const client = await place.watching(other, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    expect((await client.next('error')).code).to.equal('store-unavailable');
    down = false;
    await client.next('snapshot');
  });

  describe('connections that say nothing', () => {
    it('are ended', () => until('all are gone', () => silent?.left === 0, { timeoutMs: 30_000 }));
  });
});

/** A log whose followers can be made to end as they do when the log was trimmed past them. */
function breakable(real: Log): { log: Log; end: () => void } {
  let fail: (error: Error) => void = () => {};
  const follow: Log['follow'] = async (from, handler): Promise<Follower> => {
    const follower = await real.follow(from, handler);
    const trimmed = new Promise<never>((_, reject) => {
      fail = (error) => {
        reject(error);
        void follower.stop();
      };
    });
    const stopped = follower.ended;
    return { stop: () => follower.stop(), ended: Promise.race([stopped, trimmed]) };
  };
  return { log: overlay(real, { follow }), end: () => fail(new Trimmed(1)) };
}
