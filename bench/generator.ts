import { runLoad } from '../simulators/load/load.ts';
import { benchFarm, signedInAs, steppedTimes } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { startMosquitto } from './servers/mosquitto.ts';
import { byTurns, row } from './turns.ts';

const CONNECTIONS = 100;
/** Publishes in flight on each connection: as in the other benches, and as many as Mosquitto takes from a client before it queues any. */
const WINDOWS = [20, 100] as const;

/**
 * What the load generator itself can do: QoS 1 publishes a second on one thread that Mosquitto, which has no subscriber and keeps nothing,
 * acknowledges; closed loop.
 */
export const generator: Benchmark = {
  name: 'generator',
  about: 'QoS 1 publishes a second of one generator thread, acknowledged by Mosquitto without a subscriber',
  async run({ quick, say }): Promise<Outcome> {
    const [rounds, warmupMs, forMs] = quick ? [2, 500, 2_000] : [7, 1_000, 5_000];
    const mosquitto = await startMosquitto();
    const connections = signedInAs(benchFarm(CONNECTIONS).connections);
    const plan = { url: mosquitto.url, connections, qos: 1, pace: { loop: 'closed' }, warmupMs } as const;
    const measure = async (inFlight: number) => {
      const { perSecond, latencyMs, generator } = await runLoad({
        ...plan,
        inFlight,
        times: steppedTimes(),
        forMs: warmupMs + forMs,
      });
      return {
        figure: perSecond,
        beside: { p50Ms: latencyMs?.p50 ?? 0, p99Ms: latencyMs?.p99 ?? 0, generatorBusy: generator.busiest },
      };
    };
    try {
      const contenders = WINDOWS.map((inFlight) => ({
        name: `${inFlight} in flight`,
        measure: () => measure(inFlight),
      }));
      const found = await byTurns(contenders, rounds, (name, round, { figure, beside }) =>
        say(`round ${round}: ${name} ${Math.round(figure)}/s, busy ${beside?.generatorBusy?.toFixed(2)}`),
      );
      const rows = Object.fromEntries([...found].map(([name, summary]) => [name, row(summary)]));
      const [usual, wide] = [...found.values()];
      if (!usual || !wide) throw new Error('nothing was measured');
      return {
        bench: 'generator',
        unit: 'publishes acknowledged/s',
        loam: usual.median,
        peers: {},
        ratio: {},
        detail: { ...rows, load: { connections: CONNECTIONS, qos: 1, threads: 1, mosquittoSubscribers: 0 } },
        versions: { mosquitto: mosquitto.version },
      };
    } finally {
      await mosquitto.close();
    }
  },
};
