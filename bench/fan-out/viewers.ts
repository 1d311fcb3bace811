import { z } from 'zod';
import { pause } from '../../core/timing.ts';
import { Child, type Usage, usage } from './child.ts';
import { USER } from './farm.ts';

const READINGS_PER_SECOND = 1_000;
const BATCH_MS = 10;
const VIEWER_PROCESSES = 2;

const found = z.object({
  frames: z.number(),
  latencies: z.array(z.number().optional()),
  rows: z.number(),
  sampled: z.number(),
  lost: z.array(z.string()),
  cpuSeconds: z.number(),
  rss: z.number(),
});
type Found = z.infer<typeof found>;

export interface During {
  readonly found: Found;
  readonly before: Usage;
  readonly after: Usage;
  readonly seconds: number;
}

export async function during(server: Child, viewers: Viewers, shift: number, ms: number): Promise<During> {
  const before = await server.ask('usage', undefined, usage);
  await viewers.begin(shift);
  const begun = performance.now();
  await pause(ms);
  const after = await server.ask('usage', undefined, usage);
  const seconds = (performance.now() - begun) / 1_000;
  return { found: await viewers.finish(), before, after, seconds };
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
export class Viewers {
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
      lost: all.flatMap((f) => f.lost),
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

/** Throws, and says why the first of them ended, when sockets were lost: what is measured then is another crowd. */
export function refuseLost(lost: readonly string[]): void {
  if (lost.length > 0) throw new Error(`${lost.length} sockets were lost, the first: ${lost[0]}`);
}

/** Has readings announced at a steady rate until it is aborted. */
export function publish(server: Child): AbortController {
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

export async function signIn(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(USER),
  });
  if (!answer.ok) throw new Error(`signing in: ${answer.status}`);
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}
