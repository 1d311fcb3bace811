import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { pause } from '../core/timing.ts';
import { temporaryFolder } from '../test/services/wait.ts';
import { Child, type Usage, usage } from './fan-out/child.ts';
import { type CrowdScale, measureCrowds } from './fan-out/crowd.ts';
import { Recorder } from './fan-out/recording.ts';
import { percentilesOf } from './fan-out/times.ts';
import { type During, during, publish, refuseLost, signIn, Viewers } from './fan-out/viewers.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { byTurns, type Contender, type Run, row, summary } from './turns.ts';

interface Scale extends CrowdScale {
  readonly sockets: number;
  readonly warmupMs: number;
  readonly forMs: number;
  /** Rounds of the gateway and `ws`; `rounds` are the crowds'. */
  readonly turns: number;
}

const FULL: Scale = { sockets: 10_000, warmupMs: 4_000, forMs: 8_000, turns: 3, crowd: 1_000, stalled: 100, rounds: 5 };
const QUICK: Scale = { sockets: 2_000, warmupMs: 1_500, forMs: 3_000, turns: 1, crowd: 200, stalled: 20, rounds: 1 };

/**
 * Sockets on one gateway process that each watch one of 50 fields of a farm with 1,000 readings/s, and by turns with it the very same frames from
 * a plain `ws` server. Compared is the CPU time of the server for a frame that reached a viewer. In `detail`: times from publish to receipt, memory,
 * and what becomes of the times of a crowd when some of it stop reading.
 */
export const fanOut: Benchmark = {
  name: 'fan-out',
  about:
    'CPU time for a frame that reaches a viewer, 10,000 sockets: one gateway, and a plain ws server with the same frames',
  async run({ quick, say }): Promise<Outcome> {
    const scale = quick ? QUICK : FULL;
    const file = join(await temporaryFolder(), 'frames.json');
    let recordedAt = 0;
    const contenders: Contender[] = [
      {
        name: 'loam',
        async measure() {
          const { recordedAt: at, ...run } = await measureLoam(scale, file);
          recordedAt = at;
          return run;
        },
      },
      // The first round begins with the gateway: there is always a recording.
      { name: 'ws', measure: () => measureWs(scale, file, recordedAt) },
    ];
    const runs = { loam: [] as Run[], ws: [] as Run[] };
    say(`${scale.sockets} sockets on the gateway, then on ws, ${scale.turns} times`);
    const found = await byTurns(contenders, scale.turns, (name, round, run) => {
      runs[name === 'ws' ? 'ws' : 'loam'].push(run);
      const { p99Ms, kBPerSocket } = run.beside ?? {};
      say(`${name}, round ${round}: ${run.figure.toFixed(2)} µs a frame, p99 ${p99Ms} ms, ${kBPerSocket} kB a socket`);
    });
    const crowds = await measureCrowds(scale, say);
    const [loam, ws] = [found.get('loam')?.median ?? Number.NaN, found.get('ws')?.median ?? Number.NaN];
    return {
      bench: 'fan-out',
      unit: 'CPU µs a delivered frame',
      loam,
      peers: { ws },
      ratio: { ws: ws / loam },
      detail: {
        ...Object.fromEntries([...found].map(([name, one]) => [name, row(one)])),
        'ratio to ws': row(summary(runs.ws.map(({ figure }, i) => ({ figure: figure / (runs.loam[i]?.figure ?? 0) })))),
        'p99Ms of loam': row(summary(runs.loam.map(({ beside }) => ({ figure: beside?.p99Ms ?? Number.NaN })))),
        ...crowds,
      },
    };
  },
};

async function measureLoam(scale: Scale, file: string): Promise<Run & { readonly recordedAt: number }> {
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
    publishing.abort();
    return { ...result(measured, before, scale), recordedAt: recorded.begin };
  } finally {
    await Promise.all([server.close(), viewers.end()]);
  }
}

async function measureWs(scale: Scale, file: string, recordedAt: number): Promise<Run> {
  const server = new Child('ws-process.ts');
  const viewers = new Viewers();
  try {
    const port = await server.ask('start', undefined, z.number());
    const before = await server.ask('usage', undefined, usage);
    await viewers.connect({ port, path: '/', cookie: '', count: scale.sockets, whole: false });
    await pause(scale.warmupMs);
    const begin = await server.ask('play', file, z.number());
    const measured = await during(server, viewers, begin - recordedAt, scale.forMs);
    return result(measured, before, scale);
  } finally {
    await Promise.all([server.close(), viewers.end()]);
  }
}

function result({ found, before, after, seconds }: During, empty: Usage, { sockets }: Scale): Run {
  refuseLost(found.lost);
  const cpu = after.cpuSeconds - before.cpuSeconds;
  return {
    figure: (cpu * 1e6) / found.frames,
    beside: {
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
