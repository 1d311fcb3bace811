import { pause } from '../core/timing.ts';
import { runLoad } from '../simulators/load/load.ts';
import { coresOf, ProcessWatch } from '../test/chaos/processes.ts';
import { embeddedStage, type Stage, serversStage } from '../test/chaos/stage.ts';
import { UNLIMITED } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { storedRate } from './stored-rate.ts';
import { byTurns, type Run, row, summary } from './turns.ts';

const SENSORS = 1_000;
const READINGS_AN_HOUR = 40_000;
const RATE = READINGS_AN_HOUR / 3_600;
/** What is Loam's own among the processes; the others are the servers it stands on. */
const OWN = /^(up|broker|gateway|worker-\d+)$/;

interface Scale {
  readonly rounds: number;
  readonly seconds: number;
  readonly settleSeconds: number;
  /** Readings of one round of the closed loop. */
  readonly total: number;
}

const FULL: Scale = { rounds: 5, seconds: 30, settleSeconds: 10, total: 60_000 };
const QUICK: Scale = { rounds: 1, seconds: 4, settleSeconds: 1, total: 10_000 };

/**
 * What share of one core 40,000 readings an hour from 1,000 sensors take: seconds of CPU of every process over times in which nobody is connected,
 * and over as many with the load. Both set-ups run at the same time: together they leave the machine all but idle.
 * Then how many times over the same machine carries it: readings stored a second as a closed loop, on one set-up at a time, by turns.
 */
export const share: Benchmark = {
  name: 'share',
  about:
    'the share of one core that 40,000 readings an hour from 1,000 sensors take, embedded and on RabbitMQ + InfluxDB, and how many times that is carried',
  async run({ quick, say }): Promise<Outcome> {
    const scale = quick ? QUICK : FULL;
    const stages = await Promise.all([
      embeddedStage(SENSORS, UNLIMITED),
      serversStage({ sensors: SENSORS, nodes: 1, workers: 1, rates: UNLIMITED }),
    ]);
    const watches = stages.map((stage) => new ProcessWatch(stage, 250));
    const watched = stages.flatMap((stage, i) => (watches[i] ? [{ stage, watch: watches[i] }] : []));
    try {
      say(
        `${stages.length} set-ups are up; ${scale.rounds} × ${scale.seconds} s of load, after a third of that without`,
      );
      const [embedded, servers] = await Promise.all(watched.map((one) => sharesOf(one, scale)));
      const carried = await timesCarried(watched, scale, say);
      return {
        bench: 'share',
        unit: '% of one core',
        loam: embedded?.loam?.median ?? Number.NaN,
        peers: {
          'loam on servers': servers?.loam?.median ?? Number.NaN,
          'its servers': servers?.servers?.median ?? Number.NaN,
        },
        ratio: {},
        detail: {
          loam: embedded?.loam ?? {},
          'loam on servers': servers?.loam ?? {},
          'its servers': servers?.servers ?? {},
          ...embedded?.processes,
          ...servers?.processes,
          ...carried,
          load: { sensors: SENSORS, readingsAnHour: READINGS_AN_HOUR, ...scale },
        },
      };
    } finally {
      for (const watch of watches) watch.stop();
      await Promise.all(stages.map((stage) => stage.close()));
    }
  },
};

interface Watched {
  readonly stage: Stage;
  readonly watch: ProcessWatch;
}

type Row = Readonly<Record<string, number>>;

/** Of one core, %: Loam's own processes together, the servers' together, and each by name. */
async function sharesOf({ stage, watch }: Watched, { rounds, seconds, settleSeconds }: Scale) {
  await pause(settleSeconds * 1_000);
  const restFrom = watch.now;
  await pause((rounds * seconds * 1_000) / 3);
  const restTo = watch.now;
  let from = restTo;
  const report = await runLoad(
    {
      url: stage.mqttUrl,
      connections: stage.connections,
      pace: { loop: 'open', rate: RATE },
      qos: 1,
      inFlight: 1,
      times: { are: 'due' },
      forMs: (settleSeconds + rounds * seconds) * 1_000,
    },
    {
      // A thousand sensors that connect at once are not what is measured.
      onBegin: () => {
        from = watch.now + settleSeconds;
      },
    },
  );
  if (report.unacknowledged > 0) throw new Error(`${stage.name} left ${report.unacknowledged} unacknowledged`);
  const cores = (begin: number, end: number) =>
    Object.entries(coresOf(watch.samples, begin, end)).filter(([name]) => isOf(stage, name));
  const rest = cores(restFrom, restTo);
  const load = Array.from({ length: rounds }, (_, i) => cores(from + i * seconds, from + (i + 1) * seconds));
  const shares = (which: (name: string) => boolean): Row => {
    const total = (of: typeof rest) => of.reduce((sum, [name, share]) => sum + (which(name) ? share * 100 : 0), 0);
    return row(summary(load.map((round) => ({ figure: total(round), beside: { atRest: total(rest) } }))));
  };
  return {
    loam: shares((name) => OWN.test(name)),
    servers: shares((name) => !OWN.test(name)),
    processes: Object.fromEntries(rest.map(([name]) => [name, shares((each) => each === name)])),
  };
}

/** The generator is nobody's, and the servers are not those of a set-up that has none. */
function isOf(stage: Stage, name: string): boolean {
  return stage.servers ? name !== 'generator' : OWN.test(name);
}

/** Readings stored a second on each set-up, and how many times the load of the real deployment that is. */
async function timesCarried(watched: readonly Watched[], { rounds, total }: Scale, say: (what: string) => void) {
  const contenders = watched.map(({ stage, watch }) => ({
    name: `${stage.name}: stored/s`,
    measure: () => storedRate(stage, watch, SENSORS, total),
  }));
  for (const { stage, watch } of watched) await storedRate(stage, watch, SENSORS, total / 4);
  const runs = new Map<string, Run[]>();
  const found = await byTurns(contenders, rounds, (name, round, run) => {
    runs.set(name, [...(runs.get(name) ?? []), { figure: run.figure / RATE }]);
    say(`${name}, round ${round}: ${Math.round(run.figure)}`);
  });
  const times = [...runs].map(([name, all]) => [`${name}, times ${RATE.toFixed(1)}/s`, row(summary(all))] as const);
  return Object.fromEntries([...[...found].map(([name, one]) => [name, row(one)] as const), ...times]);
}
