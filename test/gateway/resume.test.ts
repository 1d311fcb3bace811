import { expect } from 'chai';
import { z } from 'zod';
import { Metrics } from '../../core/metrics.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { TAIL_ENTRIES } from '../../dashboard-gateway/live/feed/feed.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { until } from '../services/wait.ts';
import { type LiveClient, Place, reading } from './harness.ts';

const rowsOf = z.object({ rows: z.array(z.tuple([z.string(), z.string()], z.number())) });
const seqOf = z.object({ seq: z.number() });

/** Every value of s1 that a client was sent, a row of several values as the number of them. */
function values(client: LiveClient, from = 0): number[] {
  const frames = client.frames.slice(from).filter((frame) => frame.type === 'readings');
  return frames.flatMap((frame) =>
    rowsOf
      .parse(frame)
      .rows.filter(([s]) => s === 's1')
      .map((row) => Number(row[3])),
  );
}

describe('coming back', () => {
  let place: Place;
  let gateway: Gateway;
  let epoch: string;
  let begin: number;

  beforeEach(async () => {
    place = await Place.open();
    gateway = await place.gateway();
    ({ epoch } = await place.live.head());
    begin = Date.now() - 3_600_000;
  });

  afterEach(() => place.close());

  /** The value `n`, measured in a second of its own, so that each is a row of its own. */
  const numbered = (n: number): Reading => reading({ ts: begin + n * 1_000, received: Date.now(), values: { m: n } });
  const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const announce = async (first: number, last: number) => {
    // Begun one after another they are kept in that order.
    await Promise.all(numbers(first, last).map((n) => place.announce([numbered(n)])));
  };
  const head = async () => (await place.live.head()).next - 1;
  const told = (client: LiveClient, seq: number) =>
    until(`seq ${seq}`, () => client.frames.some((f) => f.type === 'tick' && seqOf.parse(f).seq >= seq), {
      timeoutMs: 60_000,
    });
  const resume = (client: LiveClient, seq: number, more: object = {}) =>
    client.say({ type: 'subscribe', id: 1, farm: 'north', since: { epoch, seq }, ...more });

  /** The values behind an offset; between them the log has entries of gateways, which say where they stand. */
  const valuesBehind = async (seq: number): Promise<number[]> => {
    const entries = await place.live.read({ offset: seq + 1, epoch }, 10_000);
    return entries.flatMap(({ body }) => decodeLive(body).readings.flatMap(({ values: { m } }) => m ?? []));
  };

  it('gives what was missed, in order and once, and then what comes', async () => {
    await announce(1, 3);
    const seen = await head();
    await announce(4, 9);
    const client = await place.watching(gateway, 'vera');
    resume(client, seen);
    await told(client, await head());
    await announce(10, 12);
    await told(client, await head());
    expect(values(client)).to.deep.equal(numbers(4, 12));
    expect(client.all('snapshot')).to.have.length(0);
    expect(client.all('gap')).to.have.length(0);
  });

  it('answers with a tick when nothing was missed', async () => {
    await announce(1, 1);
    const client = await place.watching(gateway, 'vera');
    resume(client, await head());
    expect(seqOf.parse(await client.next('tick')).seq).to.equal(await head());
    expect(values(client)).to.deep.equal([]);
  });

  it('does so at once: not behind somebody who comes later', async () => {
    await announce(1, 1);
    const client = await place.watching(gateway, 'vera');
    resume(client, await head());
    client.say({ type: 'subscribe', id: 2, farm: 'north' });
    await client.next('snapshot');
    expect(client.frames.map(({ type }) => type).slice(0, 2)).to.deep.equal(['tick', 'snapshot']);
  });

  it('reads nothing back for who has all that was before its memory, and from the log for who lacks some', async () => {
    await announce(1, TAIL_ENTRIES + 10);
    const metrics = new Metrics();
    const fresh = await place.gateway({ metrics });
    const client = await place.watching(fresh, 'vera');
    const resumes = async () => ((await metrics.text()).match(/^loam_live_resumes_total.*$/gm) ?? []).join(', ');
    const firstInMemory = (await head()) - TAIL_ENTRIES + 1;
    resume(client, firstInMemory - 1);
    // Served behind it: by then it is known whether it was kept waiting.
    client.say({ type: 'subscribe', id: 2, farm: 'north' });
    await client.next('snapshot');
    expect(values(client)).to.deep.equal(await valuesBehind(firstInMemory - 1));
    expect(values(client).at(-1)).to.equal(TAIL_ENTRIES + 10);
    expect(await resumes())
      .to.include('{event="memory"} 1')
      .and.include('{event="log"} 0');
    client.say({ type: 'unsubscribe', id: 1 });
    client.say({ type: 'unsubscribe', id: 2 });
    const from = client.frames.length;
    // It may remember a few more, those that came after its start.
    resume(client, firstInMemory - 6, { id: 3 });
    await until('it has what it lacked', () => values(client, from).length > 0);
    expect(values(client, from)).to.deep.equal(await valuesBehind(firstInMemory - 6));
    expect(await resumes()).to.include('{event="log"} 1');
  });

  it('gives only what is in the fields that were asked for', async () => {
    const before = await head();
    await place.announce([numbered(1), { ...numbered(2), sensor: 's2' }]);
    const client = await place.watching(gateway, 'vera');
    resume(client, before, { fields: ['f2'] });
    await told(client, await head());
    expect(client.all('readings').map((frame) => frame.field)).to.deep.equal(['f2']);
  });

  it('needs nothing that a gateway has in memory: one that has just started reads it from the log', async () => {
    await announce(1, 1_300);
    const metrics = new Metrics();
    const fresh = await place.gateway({ metrics });
    const client = await place.watching(fresh, 'vera');
    resume(client, -1);
    await told(client, await head());
    expect(values(client)).to.deep.equal(numbers(1, 1_300));
    expect(client.all('gap')).to.have.length(0);
    expect(await metrics.text()).to.include('loam_live_resumes_total{event="log"} 1');
  });

  it('does not wait for the store', async () => {
    const latest = () => new Promise<never>(() => {});
    const stuck = await place.gateway({
      store: new Proxy(place.store, { get: (s, n) => (n === 'latest' ? latest : Reflect.get(s, n)) }),
    });
    const before = await head();
    await announce(1, 2);
    const client = await place.watching(stuck, 'vera');
    resume(client, before);
    await told(client, await head());
    await announce(3, 3);
    await told(client, await head());
    expect(values(client)).to.deep.equal([1, 2, 3]);
  });

  /** Comes back again and again, to one gateway and to the other, while readings come: what it got until it had them all. */
  async function comeBackAgainAndAgain(
    end: number,
    gateways: readonly Gateway[],
    more: object = {},
    others?: string[],
  ) {
    const first = await head();
    const last = first + 2 * end;
    const clients = await Promise.all(gateways.map((one) => place.watching(one, 'vera')));
    const appending = (async () => {
      for (let n = 1; n <= end; n += 3) {
        const three = numbers(n, n + 2).flatMap((i) => [[numbered(i)], [{ ...numbered(i), sensor: 's2' }]]);
        await Promise.all(three.map((readings) => place.announce(readings)));
      }
    })();
    const got: number[] = [];
    let seq = first;
    for (let round = 0; seq < last; round++) {
      const client = clients[round % 2];
      if (!client) break;
      const from = client.frames.length;
      resume(client, seq, more);
      const watchesMore = others !== undefined && round % 3 > 0;
      if (watchesMore) client.say({ type: 'subscribe', id: 2, farm: 'north', fields: others });
      const enough = seq + 1 + ((round * 7) % 23);
      await until('some more, also of what comes when it is live', () => {
        const ticks = client.frames.slice(from).flatMap((f) => (f.type === 'tick' ? seqOf.parse(f).seq : []));
        const newest = Math.max(...ticks);
        return newest >= last || (newest >= enough && ticks.length > 1 + (round % 3));
      });
      // As a line that breaks: what came after the last tick is not counted.
      if (watchesMore) client.say({ type: 'unsubscribe', id: 2 });
      client.say({ type: 'unsubscribe', id: 1 });
      client.say({ type: 'unsubscribe', id: 1 });
      await client.next('error');
      const frames = client.frames.slice(from);
      const ticks = frames.map((f) => f.type).lastIndexOf('tick');
      got.push(...values({ ...client, frames: frames.slice(0, ticks + 1) } as LiveClient));
      seq = seqOf.parse(frames[ticks]).seq;
    }
    await appending;
    return got;
  }

  it('has neither hole nor double where the missed meets the live, however often and wherever it comes back', async () => {
    expect(await comeBackAgainAndAgain(600, [gateway, await place.gateway()])).to.deep.equal(numbers(1, 600));
  });

  it('has neither when ticks are so long that one field is published apart, and others are watched for a while', async () => {
    const long = { shortestTickMs: 50 };
    const gateways = [await place.gateway(long), await place.gateway(long)];
    // Somebody who stays, so that there are rows under way whenever others come.
    const staying = await Promise.all(gateways.map((one) => place.watching(one, 'vera')));
    for (const client of staying) client.say({ type: 'subscribe', id: 1, farm: 'north', fields: ['f1'] });
    await Promise.all(staying.map((client) => client.next('snapshot')));
    const got = await comeBackAgainAndAgain(600, gateways, { fields: ['f1'] }, ['f2', 'unassigned']);
    expect(got).to.deep.equal(numbers(1, 600));
    for (const client of staying) {
      await until('all', () => values(client).length >= 600);
      expect(values(client)).to.deep.equal(numbers(1, 600));
    }
  });

  it('drops a batch that was announced twice, also in what was missed', async () => {
    const before = await head();
    await place.announce([numbered(1)], 'same');
    await place.announce([numbered(1)], 'same');
    await place.announce([numbered(2)]);
    const fresh = await place.gateway();
    for (const g of [gateway, fresh]) {
      const client = await place.watching(g, 'vera');
      resume(client, before);
      await told(client, await head());
      expect(values(client)).to.deep.equal([1, 2]);
    }
  });

  it('waits for a gateway that is behind what the client has seen', async () => {
    await announce(1, 1);
    // It does not look around by itself, and so says nothing of its own accord.
    const own = await place.gateway({ checkMs: 3_600_000 });
    const client = await place.watching(own, 'vera');
    const seen = (await head()) + 2;
    resume(client, seen);
    client.say({ type: 'subscribe', id: 2, farm: 'north', fields: ['f2'] });
    await client.next('snapshot');
    expect(client.all('tick')).to.have.length(0);
    await announce(2, 4);
    await told(client, await head());
    expect(values(client)).to.deep.equal([4]);
  });

  it('is told a status that changed meanwhile', async () => {
    let now = Date.now();
    const timed = await place.gateway({ now: () => now });
    await place.store.write([reading({ ts: now, received: now })]);
    await place.announce([reading({ ts: now, received: now })]);
    const first = await place.watching(timed, 'vera');
    first.say({ type: 'subscribe', id: 1, farm: 'north' });
    await first.next('snapshot');
    const seq = await head();
    now += 400_000;
    await first.next('status');
    const second = await place.watching(timed, 'vera');
    resume(second, seq);
    expect(await second.next('status')).to.include({ sensor: 's1', state: 'offline' });
  });

  describe('ends in a gap and a snapshot', () => {
    const gapped = async (client: LiveClient) => {
      await client.next('snapshot');
      const types = client.frames.map((f) => f.type).filter((type) => type !== 'status');
      // It is live from then on, and may be told a tick before anybody looks here.
      expect(types.slice(0, types.indexOf('snapshot') + 1)).to.deep.equal(['gap', 'snapshot']);
      expect(client.frames[0]?.id).to.equal(1);
    };

    it('when the log was started over', async () => {
      const client = await place.watching(gateway, 'vera');
      client.say({ type: 'subscribe', id: 1, farm: 'north', since: { epoch: 'another', seq: 0 } });
      await gapped(client);
      expect(await place.counted('loam_live_gaps_total', 'epoch')).to.equal(1);
    });

    it('when more rows were missed than are sent', async () => {
      const before = await head();
      for (let i = 0; i < 21; i++) {
        await place.announce(Array.from({ length: 1_000 }, (_, n) => ({ ...numbered(i), sensor: `b${n}` })));
      }
      const client = await place.watching(gateway, 'vera');
      resume(client, before);
      await gapped(client);
      expect(await place.counted('loam_live_gaps_total', 'too-much')).to.equal(1);
    });

    it('when the log no longer has it, while who missed less is served', async () => {
      const small = await Place.open({ maxAgeMs: 3_600_000, maxBytes: 40_000 });
      try {
        const { epoch: its } = await small.live.head();
        // A transaction trims what was there before it.
        for (let n = 1; n <= 1_200; n += 100) {
          await Promise.all(numbers(n, n + 99).map((i) => small.announce([numbered(i)])));
        }
        const { first } = await small.live.head();
        expect(first).to.be.greaterThan(10);
        const fresh = await small.gateway();
        const [lost, kept] = [await small.watching(fresh, 'vera'), await small.watching(fresh, 'vera')];
        for (const [client, seq] of [
          [lost, 1],
          [kept, first + 50],
        ] as const) {
          client.say({ type: 'subscribe', id: 1, farm: 'north', since: { epoch: its, seq } });
        }
        await gapped(lost);
        const last = (await small.live.head()).next - 1;
        await told(kept, last);
        expect(values(kept)).to.deep.equal(numbers(first + 52, 1_200));
        expect(kept.all('gap')).to.have.length(0);
        expect(await small.counted('loam_live_gaps_total', 'trimmed')).to.equal(1);
      } finally {
        await small.close();
      }
    });
  });

  it('costs one reading of the log, however many come back at once', async () => {
    await announce(1, 1_200);
    const metrics = new Metrics();
    const fresh = await place.gateway({ metrics });
    const cookie = await place.signIn(fresh, 'vera');
    const clients = await Promise.all(Array.from({ length: 60 }, () => place.connect(fresh, { cookie })));
    for (const [i, client] of clients.entries()) resume(client, i);
    const last = await head();
    await Promise.all(clients.map((client) => told(client, last)));
    for (const [i, client] of clients.entries())
      expect(values(client), `client ${i}`).to.deep.equal(await valuesBehind(i));
    expect(clients.map((client) => values(client).at(-1))).to.deep.equal(clients.map(() => 1_200));
    const passes = /loam_live_rewind_total\{event="passes"\} (\d+)/.exec(await metrics.text())?.[1];
    expect(Number(passes)).to.be.within(1, 10);
  });
});
