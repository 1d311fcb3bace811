import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { openLog, openStore } from '../../backbone/open.ts';
import { LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { dialWith, Latest, LiveClient } from '../../client/index.ts';
import { noise } from '../../simulators/random.ts';
import { batchId, encodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { influx } from '../services/influx.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const FARM = `cuts${Date.now()}`;
const SENSORS = 8;
const CUTS = 200;
const CUTS_A_KILL = 66;
/** At this cut the client is made to come back with a place that nobody knows: it has to fill a real gap. */
const GAP_AT = 101;
const SEED = 20_261_125;

const history = z.object({ bucketMs: z.number(), rows: z.array(z.array(z.number())) });
type Point = { min: number; max: number; count: number; ts: number; last: number };

/** What a viewer has on its screen: the newest values, and a chart with a point a second and sensor. */
class Screen {
  readonly latest = new Latest();
  readonly points = new Map<string, Map<number, Point>>();
  readonly client: LiveClient;
  gaps = 0;
  /** The seconds that a gap leaves open, from the last one seen before it. */
  readonly holes: { from: number; to: number }[] = [];
  private newest = 0;
  private open: number | undefined;

  constructor(dial: ConstructorParameters<typeof LiveClient>[0]['dial']) {
    this.client = new LiveClient({ dial, random: () => 0 });
    this.client.on('snapshot', (news) => this.latest.apply(news));
    this.client.on('gap', () => {
      this.gaps++;
      this.open ??= this.newest;
    });
    this.client.on('readings', (news) => {
      this.latest.apply(news);
      for (const row of news.rows) this.draw(row);
    });
    this.client.watch(FARM);
  }

  values() {
    return Object.fromEntries(this.latest.ids.map((id) => [id, Object.fromEntries(this.latest.get(id)?.values ?? [])]));
  }

  private draw(row: { sensor: string; ts: number; last: number; min: number; max: number; count: number }): void {
    if (this.open !== undefined) this.holes.push({ from: second(this.open), to: second(row.ts) + 1_000 });
    this.open = undefined;
    this.newest = Math.max(this.newest, row.ts);
    const points = this.points.get(row.sensor) ?? new Map<number, Point>();
    this.points.set(row.sensor, points);
    const before = points.get(second(row.ts));
    points.set(
      second(row.ts),
      before ? join(before, row) : { min: row.min, max: row.max, count: row.count, ts: row.ts, last: row.last },
    );
  }
}

const second = (ts: number) => Math.floor(ts / 1_000) * 1_000;

function join(before: Point, row: Point): Point {
  const [, newer] = row.ts >= before.ts ? [before, row] : [row, before];
  const { ts, last } = newer;
  return {
    min: Math.min(before.min, row.min),
    max: Math.max(before.max, row.max),
    count: before.count + row.count,
    ts,
    last,
  };
}

describe('a viewer whose line breaks again and again, over two gateways that are killed in turn', function () {
  this.timeout(400_000);
  let drawn = 0;
  const draw = () => noise(SEED, drawn++);
  const published: Reading[] = [];
  const running = new Map<number, LoamProcess>();
  const screens: Screen[] = [];
  const over = { yet: false };
  let publishing: Promise<void> = Promise.resolve();
  let live: Log;
  let store: Store;
  let token: string;
  let ports: number[];
  let startGateway: (port: number) => Promise<void>;

  before(async () => {
    const folder = await temporaryFolder();
    const registry = path.join(folder, 'registry.yaml');
    const sensors = Array.from(
      { length: SENSORS },
      (_, i) => `  - { id: c${i}, farm: ${FARM}, field: f${i % 2}, interval: 60 }`,
    );
    const text = [
      'farms:',
      `  - { id: ${FARM}, name: Cuts, timezone: UTC }`,
      'fields:',
      `  - { id: f0, farm: ${FARM}, name: A }`,
      `  - { id: f1, farm: ${FARM}, name: B }`,
      'sensors:',
      ...sensors,
      'metrics:',
      "  - { id: moisture, label: Moisture, unit: '%' }",
      '',
    ];
    await writeFile(registry, text.join('\n'));
    const storeUrl = (await influx()).storeUrl(`cuts${Date.now()}`);
    const { url } = await rabbit();
    const env = {
      LOAM_DATA: folder,
      LOAM_REGISTRY: registry,
      LOAM_QUEUE: url,
      LOAM_LOG: url,
      LOAM_STORE: storeUrl,
      LOAM_OPS_PORT: '0',
      LOAM_LOG_LEVEL: 'info',
    };
    startGateway = async (port) => {
      const gateway = new LoamProcess(['gateway'], { ...env, LOAM_HTTP_PORT: String(port) });
      running.set(port, gateway);
      const said = () => gateway.stdout + gateway.stderr;
      await until('a gateway', () => /gateway is ready/.test(said()) || gateway.child.exitCode !== null, {
        timeoutMs: 120_000,
      });
      if (gateway.child.exitCode !== null) throw new Error(said().slice(-3_000));
    };
    live = await openLog(url, 'live', LIVE_LOG_LIMITS);
    store = await openStore(storeUrl);
    // The first one makes the secrets that all of them share.
    const first = await freePort();
    await startGateway(first);
    const others = [await freePort(), await freePort()];
    await Promise.all(others.map(startGateway));
    ports = [first, ...others];
    token = (await readFile(path.join(folder, 'admin-token'), 'utf8')).trim();
  });

  after(async () => {
    over.yet = true;
    for (const { client } of screens) client.stop();
    await publishing;
    await Promise.all([...running.values()].map((gateway) => gateway.stop('SIGKILL')));
    await live?.close();
    await store?.close();
  });

  /** Announces and stores readings as a worker does, each sensor's some 40 ms apart, until it is told to end. */
  const publish = () =>
    (async () => {
      for (let n = 0; !over.yet; n++) {
        const now = Date.now();
        const batch = Array.from({ length: 1 + Math.floor(draw() * SENSORS) }, (_, i) => ({
          farm: FARM,
          sensor: `c${(n + i) % SENSORS}`,
          ts: now,
          received: now,
          values: { moisture: Math.round(draw() * 1_000) / 10 },
        }));
        published.push(...batch);
        await Promise.all([live.append(encodeLive({ id: batchId(), readings: batch })), store.write(batch), delay(20)]);
      }
    })();

  it('ends with the same newest values, points and counts as one whose line never broke', async () => {
    const headers = { authorization: `Bearer ${token}` };
    const address = (port: number | undefined) => `ws://127.0.0.1:${port}/ws`;
    const [one = 0, two = 0, calm] = ports;
    const steady = new Screen(dialWith((url, protocol) => new WebSocket(url, protocol, { headers }), address(calm)));

    let line: WebSocket | undefined;
    let turn = 0;
    let cut = 0;
    const open = (url: string, protocol: string) => {
      line = new WebSocket(url, protocol, { headers });
      return line;
    };
    const next = () => address(ports[turn++ % 2]);
    const dialBroken = dialWith(open, next);
    const broken = new Screen((handlers) => {
      const { send, close } = dialBroken(handlers);
      let forget = cut === GAP_AT;
      return {
        send: (text) => {
          send(forget ? text.replace(/"epoch":"[^"]*"/, '"epoch":"nobody-knows"') : text);
          forget = false;
        },
        close,
      };
    });

    screens.push(steady, broken);
    const isLive = () => broken.client.state.phase === 'live';
    await until('both are live', () => isLive() && steady.client.state.phase === 'live');
    publishing = publish();
    let restarting: Promise<void> = Promise.resolve();
    for (cut = 1; cut <= CUTS; cut++) {
      await delay(draw() * 40);
      if (cut % CUTS_A_KILL === 0) {
        await restarting;
        const victim = (cut / CUTS_A_KILL) % 2 === 0 ? one : two;
        await running.get(victim)?.stop('SIGKILL');
        restarting = startGateway(victim);
      }
      const broke = line;
      broke?.terminate();
      await until(`another line after cut ${cut}`, () => line !== broke, { everyMs: 2, timeoutMs: 30_000 });
      // Every third line breaks again before it has brought anything.
      if (cut % 3 !== 0 || cut === GAP_AT)
        await until(`live after cut ${cut}`, isLive, { everyMs: 5, timeoutMs: 30_000 });
    }
    await restarting;
    over.yet = true;
    await publishing;
    const count = (screen: Screen) =>
      [...screen.points.values()].flatMap((p) => [...p.values()]).reduce((sum, p) => sum + p.count, 0);
    await until('the steady one has all', () => count(steady) === published.length, { timeoutMs: 60_000 });
    await until(
      'the newest are the same',
      () => JSON.stringify(sorted(broken.values())) === JSON.stringify(sorted(steady.values())),
      { timeoutMs: 60_000 },
    );

    expect([steady.gaps, broken.gaps], 'gaps').to.deep.equal([0, 1]);
    expect(broken.holes).to.have.length(1);
    for (const hole of broken.holes) await fill(broken, hole);
    const [shown, wanted] = [charts(broken), charts(steady)];
    const more = [...shown].filter((point) => !wanted.has(point));
    const less = [...wanted].filter((point) => !shown.has(point));
    expect({ more, less }).to.deep.equal({ more: [], less: [] });
    expect(count(broken)).to.equal(published.length);
  });

  /** Fetches what a chart lacks, as a page does after a gap. */
  async function fill(screen: Screen, { from, to }: { from: number; to: number }): Promise<void> {
    for (let i = 0; i < SENSORS; i++) {
      const query = new URLSearchParams({
        sensor: `c${i}`,
        metric: 'moisture',
        from: String(from),
        to: String(to),
        points: '5000',
      });
      const answer = await fetch(`http://127.0.0.1:${ports[0]}/api/farms/${FARM}/history?${query}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      const { bucketMs, rows } = history.parse(await answer.json());
      expect(bucketMs).to.equal(1_000);
      const points = screen.points.get(`c${i}`) ?? new Map<number, Point>();
      for (const [ts = 0, last = 0, min = 0, max = 0, , count = 0] of rows)
        points.set(ts, { min, max, count, ts, last });
      screen.points.set(`c${i}`, points);
    }
  }
});

/** Points without the time of their last value, which a history does not tell. */
function charts(screen: Screen): Set<string> {
  return new Set(
    [...screen.points].flatMap(([sensor, points]) =>
      [...points].map(([at, { min, max, count, last }]) => JSON.stringify({ sensor, at, min, max, count, last })),
    ),
  );
}

function sorted<T>(of: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1));
}
