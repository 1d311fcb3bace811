import { pause } from '../core/timing.ts';
import { runLoad } from '../simulators/load/load.ts';
import type { LoadConnection, LoadPlan } from '../simulators/load/plan.ts';
import { benchFarm, signedInAs, steppedTimes } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { MQTT_ADDRESS, OPS_ADDRESS, startLoam } from './servers/loam.ts';
import { startMosquitto } from './servers/mosquitto.ts';
import { byTurns, type Run, row, type Summary } from './turns.ts';

/** How many connections, and how many publishes of each wait for their acknowledgement at most. */
const LOADS = [
  { connections: 100, inFlight: 20 },
  { connections: 1_000, inFlight: 20 },
  { connections: 9_000, inFlight: 5 },
] as const;
type Crowd = (typeof LOADS)[number];

/** A load that neither should find hard, for the time that an acknowledgement takes. Publishes a second, over 100 connections. */
const STEADY_RATE = 8_000;
const ASK_MS = 100;

/**
 * QoS 1 publishes acknowledged a second by the whole of Loam in one program, closed loop: `loam up` on its embedded parts
 * acknowledges what is on its disk, and decodes, stores and announces meanwhile. `mosquitto` has no subscriber and
 * keeps nothing. Afterwards each has a steady 8,000 a second to acknowledge, as an open loop.
 */
export const ingestEmbedded: Benchmark = {
  name: 'ingest-embedded',
  about: 'QoS 1 publishes acknowledged a second by 100, 1,000 and 9,000 sensors: loam up on its disk, Mosquitto',
  async run({ quick, say }): Promise<Outcome> {
    const [rounds, warmupMs, forMs] = quick ? [1, 500, 1_500] : [5, 1_000, 6_000];
    const { yaml, connections } = benchFarm(Math.max(...LOADS.map((load) => load.connections)));
    const [loam, mosquitto] = await Promise.all([loamUp(yaml), startMosquitto()]);
    const subjects: [string, Subject][] = [
      ['loam', { ...loam, connections }],
      ['mosquitto', { url: mosquitto.url, connections: signedInAs(connections), settled: async () => {} }],
    ];
    const byTurnsWith = (name: string, crowd: Crowd, plan: Plan): Promise<Map<string, Summary>> =>
      byTurns(
        subjects.map(([who, subject]) => ({ name: who, measure: () => measure(subject, crowd, plan) })),
        rounds,
        (who, round, { figure, beside }) =>
          say(`${name}, round ${round}: ${who} ${Math.round(figure)}/s, p99 ${beside?.p99Ms} ms`),
      );
    const detail: Record<string, Record<string, number>> = {};
    const ratio: Record<string, number> = {};
    const keep = (name: string, found: Map<string, Summary>) => {
      for (const [who, one] of found) detail[`${who}, ${name}`] = row(one);
    };
    try {
      for (const crowd of LOADS) {
        const name = `${crowd.connections.toLocaleString('en')} connections`;
        const found = await byTurnsWith(name, crowd, { pace: { loop: 'closed' }, warmupMs, forMs: warmupMs + forMs });
        keep(name, found);
        ratio[`mosquitto, ${name}`] = medianOf(found, 'loam') / medianOf(found, 'mosquitto');
      }
      const steadily = { pace: { loop: 'open', rate: STEADY_RATE }, warmupMs, forMs: warmupMs + forMs } as const;
      const name = `${STEADY_RATE.toLocaleString('en')}/s due`;
      keep(name, await byTurnsWith(name, LOADS[0], steadily));
      return {
        bench: 'ingest-embedded',
        unit: 'publishes acknowledged/s',
        loam: detail['loam, 100 connections']?.median ?? Number.NaN,
        peers: { 'mosquitto, 100 connections': detail['mosquitto, 100 connections']?.median ?? Number.NaN },
        ratio,
        detail,
        versions: { mosquitto: mosquitto.version },
      };
    } finally {
      await Promise.all([loam.close(), mosquitto.close()]);
    }
  },
};

type Plan = Pick<LoadPlan, 'pace' | 'warmupMs' | 'forMs'>;

interface Subject {
  readonly url: string;
  readonly connections: readonly LoadConnection[];
  /** Resolves when nothing of a run is left to be done. */
  settled(): Promise<void>;
}

async function loamUp(registry: string) {
  const loam = await startLoam('up', registry, { LOAM_DEMO: 'false' });
  const [, mqtt = ''] = await loam.says(MQTT_ADDRESS);
  const [, ops = ''] = await loam.says(OPS_ADDRESS);
  return {
    url: `mqtt://${mqtt}`,
    settled: async () => {
      while ((await waiting(ops)) > 0) await pause(ASK_MS);
    },
    close: () => loam.close(),
  };
}

/** Messages that the worker has not worked off. */
async function waiting(ops: string): Promise<number> {
  const text = await (await fetch(`http://${ops}/metrics`)).text();
  return Number(/^loam_queue_depth(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN);
}

/** One run; what it left to be done is done afterwards. */
async function measure(subject: Subject, { connections, inFlight }: Crowd, plan: Plan): Promise<Run> {
  const { perSecond, latencyMs, generator, unacknowledged, connectionsLost } = await runLoad({
    url: subject.url,
    connections: subject.connections.slice(0, connections),
    qos: 1,
    inFlight,
    times: steppedTimes(),
    ...plan,
  });
  if (unacknowledged + connectionsLost > 0) {
    throw new Error(
      `${subject.url} left ${unacknowledged} publishes unacknowledged and lost ${connectionsLost} connections`,
    );
  }
  await subject.settled();
  return {
    figure: perSecond,
    beside: { p50Ms: latencyMs?.p50 ?? 0, p99Ms: latencyMs?.p99 ?? 0, generatorBusy: generator.busiest },
  };
}

function medianOf(found: ReadonlyMap<string, Summary>, name: string): number {
  return found.get(name)?.median ?? Number.NaN;
}
