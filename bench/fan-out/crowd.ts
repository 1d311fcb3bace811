import { z } from 'zod';
import { pause } from '../../core/timing.ts';
import { median } from '../turns.ts';
import { Child } from './child.ts';
import { percentilesOf } from './times.ts';
import { during, publish, refuseLost, signIn, Viewers } from './viewers.ts';

export interface CrowdScale {
  /** So many sockets that watch the whole farm, and of them so many that read nothing. */
  readonly crowd: number;
  readonly stalled: number;
  readonly rounds: number;
}

/** About ten megabytes for each stalled socket: more than the system's own buffers take. */
const BULKS = 10;
/** Until those who read have read all that, and count as fast again. */
const BULKS_SENT_MS = 4_000;
/** The gateway takes a socket for dead that has read nothing for a minute: all rounds are over by then. */
const SETTLE_MS = 500;
const ROUND_MS = 3_000;

type Rows = Readonly<Record<string, Readonly<Record<string, number>>>>;

/**
 * The times of a crowd that watches the whole farm when some sockets beside it read nothing, and when these read too. Each crowd has a gateway
 * of its own, and they are measured by turns, so that what else the machine does falls on both.
 */
export async function measureCrowds(scale: CrowdScale, say: (what: string) => void): Promise<Rows> {
  const reading = await Crowd.open(scale, false);
  const stalled = await Crowd.open(scale, true);
  try {
    for (let round = 1; round <= scale.rounds; round++) {
      for (const crowd of round % 2 === 1 ? [reading, stalled] : [stalled, reading]) await crowd.measure();
      say(`p99 with all reading: ${reading.p99s.at(-1)} ms; with ${scale.stalled} stalled: ${stalled.p99s.at(-1)} ms`);
    }
    return { crowd: await reading.row(), 'crowd with stalled': { ...(await stalled.row()), stalled: scale.stalled } };
  } finally {
    await Promise.all([reading.end(), stalled.end()]);
  }
}

class Crowd {
  readonly p99s: number[] = [];
  private readonly p50s: number[] = [];
  private readonly server = new Child('gateway-process.ts');
  private readonly others = new Viewers();
  private readonly slow = new Viewers(1);
  private rss = 0;
  private size = 0;

  static async open({ crowd: size, stalled }: CrowdScale, stalls: boolean): Promise<Crowd> {
    const crowd = new Crowd();
    crowd.size = size;
    const port = await crowd.server.ask('start', undefined, z.number());
    const cookie = await signIn(port);
    const all = { port, path: '/ws', cookie, whole: true };
    await crowd.others.connect({ ...all, count: size - stalled });
    await crowd.slow.connect({ ...all, count: stalled, first: size });
    if (stalls) await crowd.slow.stall();
    // Either gateway has the same to remember, stalled sockets or not.
    for (let i = 0; i < BULKS; i++) {
      await crowd.server.ask('bulk', undefined, z.unknown());
      await pause(200);
    }
    await pause(BULKS_SENT_MS);
    return crowd;
  }

  async measure(): Promise<void> {
    const publishing = publish(this.server);
    await pause(SETTLE_MS);
    const { found, after } = await during(this.server, this.others, 0, ROUND_MS);
    publishing.abort();
    const { p50Ms, p99Ms } = percentilesOf(found.latencies);
    this.p50s.push(p50Ms);
    this.p99s.push(p99Ms);
    this.rss = after.rss;
  }

  /** Medians of all rounds. Rejects when a socket was lost, for then it was no such crowd. */
  async row(): Promise<Readonly<Record<string, number>>> {
    refuseLost([...(await this.others.finish()).lost, ...(await this.slow.finish()).lost]);
    const range = { lowest: Math.min(...this.p99s), highest: Math.max(...this.p99s) };
    const { size, rss } = this;
    return { p50Ms: median(this.p50s), p99Ms: median(this.p99s), ...range, sockets: size, serverMB: rss / 1e6 };
  }

  async end(): Promise<void> {
    await Promise.all([this.server.close(), this.others.end(), this.slow.end()]);
  }
}
