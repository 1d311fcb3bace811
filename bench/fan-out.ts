import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { pause } from '../core/lifecycle.ts';
import { temporaryFolder } from '../test/services/wait.ts';
import { Child, type Usage, usage } from './fan-out/child.ts';
import { USER } from './fan-out/farm.ts';
import { Recorder } from './fan-out/recording.ts';
import { percentilesOf } from './fan-out/times.ts';
import type { Benchmark, Outcome } from './outcome.ts';

interface Scale {
  readonly sockets: number;
  readonly warmupMs: number;
  readonly forMs: number;
  /** The other part: so many sockets that watch the whole farm, and of them so many that read nothing. */
  readonly crowd: number;
  readonly stalled: number;
}

const FULL: Scale = { sockets: 10_000, warmupMs: 4_000, forMs: 15_000, crowd: 1_000, stalled: 100 };
const QUICK: Scale = { sockets: 2_000, warmupMs: 1_500, forMs: 4_000, crowd: 200, stalled: 20 };
const READINGS_PER_SECOND = 1_000;
const BATCH_MS = 10;
const VIEWER_PROCESSES = 2;
/** About ten megabytes for each stalled socket: more than the system's own buffers take. */
const BULKS = 10;

const found = z.object({
  frames: z.number(),
  latencies: z.array(z.number().optional()),
  rows: z.number(),
  sampled: z.number(),
  lost: z.number(),
  cpuSeconds: z.number(),
  rss: z.number(),
});
type Found = z.infer<typeof found>;

/**
 * Sockets on one gateway process that each watch one of 50 fields of a farm with 1,000 readings/s; then the very same frames from a plain
 * `ws` server. Compared is the CPU time of the server for a frame that reached a viewer. In `detail`: times from publish to receipt, memory,
 * and what becomes of the times of a crowd when some of it stop reading.
 */
export const fanOut: Benchmark = {
  name: 'fan-out',
  about:
    'CPU time for a frame that reaches a viewer, 10,000 sockets: one gateway, and a plain ws server with the same frames',
  async run({ quick, say }): Promise<Outcome> {
    const scale = quick ? QUICK : FULL;
    const file = join(await temporaryFolder(), 'frames.json');
    say(`${scale.sockets} sockets on the gateway`);
    const loam = await measureLoam(scale, file, say);
    say(`gateway: ${summed(loam)}; now ws`);
    const ws = await measureWs(scale, file, loam.recordedAt);
    say(`ws: ${summed(ws)}`);
    return {
      bench: 'fan-out',
      unit: 'CPU µs a delivered frame',
      loam: loam.cpuMicrosAFrame,
      peers: { ws: ws.cpuMicrosAFrame },
      ratio: { ws: ws.cpuMicrosAFrame / loam.cpuMicrosAFrame },
      detail: {
        loam: { ...loam.row },
        ws: { ...ws.row },
        ...loam.crowd,
      },
    };
  },
};

interface Measured {
  readonly cpuMicrosAFrame: number;
  readonly row: Readonly<Record<string, number>>;
  readonly crowd: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

function summed({ cpuMicrosAFrame, row }: Measured): string {
  return `${cpuMicrosAFrame.toFixed(2)} µs a frame, p99 ${row.p99Ms} ms, ${row.kBPerSocket} kB a socket`;
}

async function measureLoam(
  scale: Scale,
  file: string,
  say: (what: string) => void,
): Promise<Measured & { readonly recordedAt: number }> {
  const server = new Child('gateway-process.ts');
  const viewers = new Viewers();
  try {
    const port = await server.ask('start', undefined, z.number());
    const cookie = await signIn(port);
    const publishing = publish(server);
    await pause(1_000);
    const before = await server.ask('usage', undefined, usage);
    await viewers.connect({ port, path: '/ws', cookie, count: scale.sockets, whole: false });
    await pause(scale.warmupMs);
    const recorder = await Recorder.open(port, { cookie });
    const measured = await during(server, viewers, 0, scale.forMs);
    const recorded = recorder.end();
    await writeFile(file, JSON.stringify(recorded));
    await viewers.close();
    const crowd = await measureCrowd(server, port, cookie, scale, say);
    publishing.abort();
    return { ...result(measured, before, scale), crowd, recordedAt: recorded.begin };
  } finally {
    await Promise.all([server.close(), viewers.end()]);
  }
}

async function measureWs(scale: Scale, file: string, recordedAt: number): Promise<Measured> {
  const server = new Child('ws-process.ts');
  const viewers = new Viewers();
  try {
    const port = await server.ask('start', undefined, z.number());
    const before = await server.ask('usage', undefined, usage);
    await viewers.connect({ port, path: '/', cookie: '', count: scale.sockets, whole: false });
    await pause(scale.warmupMs);
    const begin = await server.ask('play', file, z.number());
    const measured = await during(server, viewers, begin - recordedAt, scale.forMs);
    return { ...result(measured, before, scale), crowd: {} };
  } finally {
    await Promise.all([server.close(), viewers.end()]);
  }
}

/** The times of a crowd that watches the whole farm, before and while some sockets beside it have stopped reading. */
async function measureCrowd(
  server: Child,
  port: number,
  cookie: string,
  { crowd, stalled, forMs, warmupMs }: Scale,
  say: (what: string) => void,
): Promise<Measured['crowd']> {
  const others = new Viewers();
  const slow = new Viewers(1);
  try {
    await others.connect({ port, path: '/ws', cookie, count: crowd - stalled, whole: true });
    await slow.connect({ port, path: '/ws', cookie, count: stalled, whole: true, first: crowd });
    await pause(warmupMs);
    const before = await during(server, others, 0, forMs / 2);
    await slow.stall();
    for (let i = 0; i < BULKS; i++) {
      await server.ask('bulk', undefined, z.unknown());
      await pause(200);
    }
    await pause(warmupMs);
    const meanwhile = await during(server, others, 0, forMs / 2);
    const rows = {
      before: percentilesOf(before.found.latencies),
      whileStalled: percentilesOf(meanwhile.found.latencies),
    };
    say(
      `p99 of ${crowd - stalled} sockets: ${rows.before.p99Ms} ms; with ${stalled} more that read nothing: ${rows.whileStalled.p99Ms} ms`,
    );
    return {
      crowd: { ...rows.before, sockets: crowd },
      'crowd with stalled': { ...rows.whileStalled, sockets: crowd, stalled, serverMB: meanwhile.after.rss / 1e6 },
    };
  } finally {
    await Promise.all([others.end(), slow.end()]);
  }
}

interface During {
  readonly found: Found;
  readonly before: Usage;
  readonly after: Usage;
  readonly seconds: number;
}

async function during(server: Child, viewers: Viewers, shift: number, ms: number): Promise<During> {
  const before = await server.ask('usage', undefined, usage);
  await viewers.begin(shift);
  const begun = performance.now();
  await pause(ms);
  const after = await server.ask('usage', undefined, usage);
  const seconds = (performance.now() - begun) / 1_000;
  return { found: await viewers.finish(), before, after, seconds };
}

function result({ found, before, after, seconds }: During, empty: Usage, { sockets }: Scale): Omit<Measured, 'crowd'> {
  if (found.lost > 0) throw new Error(`${found.lost} sockets were lost`);
  const cpu = after.cpuSeconds - before.cpuSeconds;
  return {
    cpuMicrosAFrame: (cpu * 1e6) / found.frames,
    row: {
      ...percentilesOf(found.latencies),
      kBPerSocket: (after.rss - empty.rss) / 1024 / sockets,
      cpuSeconds: cpu,
      seconds,
      framesPerSecond: found.frames / seconds,
      readingsPerViewer: found.rows / found.sampled / seconds,
      viewersCpuSeconds: found.cpuSeconds,
    },
  };
}

interface Connecting {
  readonly port: number;
  readonly path: string;
  readonly cookie: string;
  readonly count: number;
  readonly whole: boolean;
  readonly first?: number;
}

/** Viewers, spread over some processes. */
class Viewers {
  private readonly children: Child[];

  constructor(processes = VIEWER_PROCESSES) {
    this.children = Array.from({ length: processes }, () => new Child('viewers-process.ts'));
  }

  async connect({ count, first = 0, ...rest }: Connecting): Promise<void> {
    const share = Math.ceil(count / this.children.length);
    await this.all((child, i) =>
      child.ask(
        'connect',
        { ...rest, first: first + i * share, count: Math.min(share, count - i * share) },
        z.number(),
      ),
    );
  }

  async begin(shift: number): Promise<void> {
    await this.all((child) => child.ask('begin', shift, z.unknown()));
  }

  async finish(): Promise<Found> {
    const all = await this.all((child) => child.ask('end', undefined, found));
    const sum = (of: (one: Found) => number) => all.reduce((total, one) => total + of(one), 0);
    const longest = Math.max(...all.map(({ latencies }) => latencies.length));
    return {
      frames: sum((f) => f.frames),
      latencies: Array.from({ length: longest }, (_, ms) => sum((f) => f.latencies[ms] ?? 0)),
      rows: sum((f) => f.rows),
      sampled: sum((f) => f.sampled),
      lost: sum((f) => f.lost),
      cpuSeconds: sum((f) => f.cpuSeconds),
      rss: sum((f) => f.rss),
    };
  }

  async stall(): Promise<void> {
    await this.all((child) => child.ask('stall', undefined, z.unknown()));
  }

  async close(): Promise<void> {
    await this.all((child) => child.ask('close', undefined, z.unknown()));
  }

  async end(): Promise<void> {
    await this.all((child) => child.close());
  }

  private all<T>(work: (child: Child, index: number) => Promise<T>): Promise<T[]> {
    return Promise.all(this.children.map(work));
  }
}

/** Has readings announced at a steady rate until it is aborted. */
function publish(server: Child): AbortController {
  const over = new AbortController();
  const begun = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) * READINGS_PER_SECOND) / 1_000);
    if (due > sent) server.tell('announce', { index: sent, count: due - sent });
    sent = due;
  }, BATCH_MS);
  over.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  return over;
}

async function signIn(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(USER),
  });
  if (!answer.ok) throw new Error(`signing in: ${answer.status}`);
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}
