import { expect } from 'chai';
import { ViewerSocket } from '../../bench/fan-out/viewer-socket.ts';
import { Latest } from '../../client/latest.ts';
import { parseServerMessage, type ServerMessage } from '../../client/messages.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { until } from '../services/wait.ts';
import { Place, reading } from './harness.ts';

const SENSORS = 1_500;
const METRICS = ['a', 'b', 'c', 'd'].map((name) => `${name}_metric_with_a_long_name_that_fills_the_buffers_sooner`);

/** What a viewer knows from what it was sent. */
class Seen {
  readonly messages: ServerMessage[] = [];
  readonly latest = new Latest();
  rows = 0;
  private values = 0;

  take(text: string): void {
    const message = parseServerMessage(text);
    if (!message) return;
    this.messages.push(message);
    if (message.type === 'snapshot' || message.type === 'readings') this.latest.apply(message);
    if (message.type !== 'readings') return;
    this.rows += message.rows.length;
    this.values += message.rows.reduce((sum, { count }) => sum + count, 0);
  }

  /** How many values of all sensors were told, alone or folded. */
  get told(): number {
    return this.values;
  }

  newest() {
    return Object.fromEntries(this.latest.ids.map((id) => [id, [...(this.latest.get(id)?.values ?? [])]]));
  }

  of<T extends ServerMessage['type']>(type: T): Extract<ServerMessage, { type: T }>[] {
    return this.messages.filter((m): m is Extract<ServerMessage, { type: T }> => m.type === type);
  }
}

describe('a viewer that reads too slowly', () => {
  let place: Place;
  let gateway: Gateway;

  beforeEach(async () => {
    place = await Place.open();
    gateway = await place.gateway();
  });

  afterEach(() => place.close());

  const watch = async () => {
    const seen = new Seen();
    const cookie = await place.signIn(gateway, 'vera');
    const dialled = { port: gateway.port, path: '/ws', cookie, localAddress: '127.0.0.1' };
    const socket = await ViewerSocket.open(dialled, (text) => seen.take(text));
    socket.send('{"type":"subscribe","id":1,"farm":"north"}');
    await until('a snapshot', () => seen.of('snapshot').length > 0);
    return { socket, seen };
  };

  const everybodyAt = (ts: number, value: number): Reading[] =>
    Array.from({ length: SENSORS }, (_, i) =>
      reading({ sensor: `sensor-${i}`, ts, values: Object.fromEntries(METRICS.map((m) => [m, value])) }),
    );

  it('gets fewer and newer frames and ends with the same state, while nobody waits for it', async () => {
    const [slow, fast] = [await watch(), await watch()];
    slow.socket.stall();
    const slowed = () => place.counted('loam_live_slow_total', 'slowed');
    let rounds = 0;
    const round = async () => {
      await place.announce(everybodyAt(Date.now(), rounds++));
      const { next } = await place.live.head();
      await until('the fast one has it', () => (fast.seen.of('tick').at(-1)?.seq ?? 0) >= next - 1);
    };
    // Enough that the system's buffers no longer hold it all; less than what is kept for who comes back.
    while ((await slowed()) === 0 && rounds < 30) await round();
    // Each has a tick of its own with the fast one: on a busy machine they would be folded for it too.
    for (let i = 0; i < 4; i++) await round();
    await place.announce([reading({ values: { moisture: 42 } })]);
    await until('the fast one is at the end', () => fast.seen.latest.get('s1')?.values.get('moisture')?.[1] === 42);
    expect(slow.seen.latest.get('s1')?.values.has('moisture')).to.not.equal(true);

    slow.socket.readOn();
    await until('the slow one is at the end', () => slow.seen.latest.get('s1')?.values.get('moisture')?.[1] === 42);
    expect(slow.seen.newest()).to.deep.equal(fast.seen.newest());
    expect(slow.seen.told, 'values, alone or folded').to.equal(fast.seen.told);
    expect(slow.seen.rows, 'fewer rows').to.be.below(fast.seen.rows);
    expect(slow.seen.of('degraded')[0]?.tickMs).to.be.at.least(500);
    expect([...fast.seen.of('gap'), ...fast.seen.of('degraded'), ...slow.seen.of('gap')]).to.deep.equal([]);

    await until('it is fast again', () => slow.seen.of('degraded').at(-1)?.tickMs === 0, { timeoutMs: 90_000 });
    await place.announce([reading({ ts: Date.now() + 5_000, values: { moisture: 43 } })]);
    await until('news', () => slow.seen.latest.get('s1')?.values.get('moisture')?.[1] === 43);
    for (const { socket } of [slow, fast]) socket.end();
  }).timeout(240_000);

  it('is told of a gap, and gets a snapshot, when it missed more than is kept', async () => {
    const { socket, seen } = await watch();
    socket.stall();
    const slowed = () => place.counted('loam_live_slow_total', 'slowed');
    const ticks = () => place.counted('loam_live_frames_total', 'tick');
    for (let i = 0; (await slowed()) === 0 && i < 40; i++) {
      const before = await ticks();
      await place.announce(everybodyAt(Date.now(), i));
      // Nothing is published any more when it was found to be slow in between.
      await until('it is sent', async () => (await ticks()) > before || (await slowed()) > 0);
    }
    expect(await slowed(), 'it is found to be slow').to.equal(1);
    // More rows than are sent at once: each sensor in seconds of its own, far apart.
    for (let i = 0; i < 5; i++) await place.announce(everybodyAt(Date.now() - (i + 1) * 3_600_000, i));
    await place.announce([reading({ values: { moisture: 42 } })]);
    socket.readOn();
    await until('the end', () => seen.latest.get('s1')?.values.get('moisture')?.[1] === 42, { timeoutMs: 30_000 });
    expect(seen.of('gap')).to.have.length(1);
    expect(seen.of('snapshot')).to.have.length(2);
    socket.end();
  }).timeout(120_000);
});
