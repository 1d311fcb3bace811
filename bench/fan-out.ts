import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { pause } from '../core/lifecycle.ts';
import { temporaryFolder } from '../test/services/wait.ts';
import { Child, type Usage, usage } from './fan-out/child.ts';
import { type CrowdScale, measureCrowds } from './fan-out/crowd.ts';
import { Recorder } from './fan-out/recording.ts';
import { percentilesOf } from './fan-out/times.ts';
import { type During, during, publish, signIn, Viewers } from './fan-out/viewers.ts';
import type { Benchmark, Outcome } from './outcome.ts';

interface Scale extends CrowdScale {
  readonly sockets: number;
  readonly warmupMs: number;
  readonly forMs: number;
}

const FULL: Scale = { sockets: 10_000, warmupMs: 4_000, forMs: 15_000, crowd: 1_000, stalled: 100, rounds: 5 };
const QUICK: Scale = { sockets: 2_000, warmupMs: 1_500, forMs: 4_000, crowd: 200, stalled: 20, rounds: 1 };

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
    const loam = await measureLoam(scale, file);
    say(`gateway: ${summed(loam)}; now ws`);
    const ws = await measureWs(scale, file, loam.recordedAt);
    say(`ws: ${summed(ws)}`);
    const crowds = await measureCrowds(scale, say);
    return {
      bench: 'fan-out',
      unit: 'CPU µs a delivered frame',
      loam: loam.cpuMicrosAFrame,
      peers: { ws: ws.cpuMicrosAFrame },
      ratio: { ws: ws.cpuMicrosAFrame / loam.cpuMicrosAFrame },
      detail: {
        loam: { ...loam.row },
        ws: { ...ws.row },
        ...crowds,
      },
    };
  },
};

interface Measured {
  readonly cpuMicrosAFrame: number;
  readonly row: Readonly<Record<string, number>>;
}

function summed({ cpuMicrosAFrame, row }: Measured): string {
  return `${cpuMicrosAFrame.toFixed(2)} µs a frame, p99 ${row.p99Ms} ms, ${row.kBPerSocket} kB a socket`;
}

async function measureLoam(scale: Scale, file: string): Promise<Measured & { readonly recordedAt: number }> {
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
    return { ...result(measured, before, scale) };
  } finally {
    await Promise.all([server.close(), viewers.end()]);
  }
}

function result({ found, before, after, seconds }: During, empty: Usage, { sockets }: Scale): Measured {
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
