import { pause } from '../core/lifecycle.ts';
import { runLoad } from '../simulators/load/load.ts';
import { coresOf, ProcessWatch } from '../test/chaos/processes.ts';
import { embeddedStage, type Stage, serversStage } from '../test/chaos/stage.ts';
import type { Benchmark, Outcome } from './outcome.ts';

const SENSORS = 1_000;
const READINGS_AN_HOUR = 40_000;
const SETTLE_MS = 10_000;
/** What is Loam's own among the processes; the others are the servers it stands on. */
const OWN = /^(up|broker|gateway|worker-\d+)$/;

/**
 * What share of one core 40,000 readings an hour from 1,000 sensors take: seconds of CPU of every process over a time in which nobody
 * is connected, and over one with the load. Both set-ups run at the same time: together they leave the machine all but idle.
 */
export const share: Benchmark = {
  name: 'share',
  about:
    'the share of one core that 40,000 readings an hour from 1,000 sensors take, embedded and on RabbitMQ + InfluxDB',
  async run({ quick, say }): Promise<Outcome> {
    const seconds = quick ? 8 : 60;
    const stages = [await embeddedStage(SENSORS), await serversStage({ sensors: SENSORS, nodes: 1, workers: 1 })];
    try {
      say(`${stages.length} set-ups are up; ${seconds} s of load, after a third of that without`);
      const found = await Promise.all(stages.map((stage) => sharesOf(stage, seconds * 1_000)));
      const detail = Object.fromEntries(found.flatMap(({ rows }) => rows));
      const [embedded, servers] = found;
      return {
        bench: 'share',
        unit: '% of one core',
        loam: embedded?.own ?? Number.NaN,
        peers: { 'loam on servers': servers?.own ?? Number.NaN, 'its servers': servers?.others ?? Number.NaN },
        ratio: {},
        detail: { ...detail, load: { sensors: SENSORS, readingsAnHour: READINGS_AN_HOUR, seconds } },
      };
    } finally {
      for (const stage of stages) await stage.close();
    }
  },
};

interface Shares {
  /** Loam's processes, and the servers', % of one core under the load. */
  readonly own: number;
  readonly others: number;
  readonly rows: readonly (readonly [string, Readonly<Record<string, number>>])[];
}

async function sharesOf(stage: Stage, forMs: number): Promise<Shares> {
  const watch = new ProcessWatch(stage);
  try {
    await pause(SETTLE_MS);
    const restFrom = watch.now;
    await pause(forMs / 3);
    const restTo = watch.now;
    let from = restTo;
    const report = await runLoad(
      {
        url: stage.mqttUrl,
        connections: stage.connections,
        pace: { loop: 'open', rate: READINGS_AN_HOUR / 3_600 },
        qos: 1,
        inFlight: 1,
        times: { are: 'due' },
        forMs: SETTLE_MS + forMs,
      },
      {
        // A thousand sensors that connect at once are not what is measured.
        onBegin: () => {
          from = watch.now + SETTLE_MS / 1_000;
        },
      },
    );
    if (report.unacknowledged > 0) throw new Error(`${stage.name} left ${report.unacknowledged} unacknowledged`);
    return summed(stage, coresOf(watch.samples, restFrom, restTo), coresOf(watch.samples, from, watch.now));
  } finally {
    watch.stop();
  }
}

function summed(stage: Stage, rest: Record<string, number>, load: Record<string, number>): Shares {
  const names = Object.keys(load).filter((name) => (stage.servers ? name !== 'generator' : OWN.test(name)));
  const total = (of: readonly string[]) => of.reduce((sum, name) => sum + (load[name] ?? 0) * 100, 0);
  return {
    own: total(names.filter((name) => OWN.test(name))),
    others: total(names.filter((name) => !OWN.test(name))),
    rows: names.map((name) => [name, { atRest: (rest[name] ?? 0) * 100, underLoad: (load[name] ?? 0) * 100 }]),
  };
}
