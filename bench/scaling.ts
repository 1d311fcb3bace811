import { ProcessWatch } from '../test/chaos/processes.ts';
import { serversStage } from '../test/chaos/stage.ts';
import { UNLIMITED } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { IN_FLIGHT, storedRate } from './stored-rate.ts';
import { byTurns, row } from './turns.ts';

const SENSORS = [10, 100, 1_000, 10_000] as const;
const WORKERS = [1, 2, 4] as const;

/**
 * How the cost grows with sensors and with workers, on RabbitMQ + InfluxDB: readings stored a second, from the first publish until the workers
 * say that all are written, as a closed loop; what each kind of process takes of the machine meanwhile; and how long an acknowledgement takes.
 */
export const scaling: Benchmark = {
  name: 'scaling',
  about: 'readings stored a second with 10 to 10,000 sensors and 1, 2 and 4 workers, and what it costs',
  async run({ quick, say }): Promise<Outcome> {
    const [rounds, total] = quick ? [1, 20_000] : [3, 120_000];
    const detail: Record<string, Record<string, number>> = {};
    for (const workers of quick ? [1] : WORKERS) {
      const stage = await serversStage({ sensors: Math.max(...SENSORS), nodes: 1, workers, rates: UNLIMITED });
      const watch = new ProcessWatch(stage, 250);
      try {
        await storedRate(stage, watch, 100, total / 4);
        const contenders = SENSORS.map((sensors) => ({
          name: `${sensors.toLocaleString('en')} sensors, ${workers} worker${workers > 1 ? 's' : ''}`,
          measure: () => storedRate(stage, watch, sensors, total),
        }));
        const found = await byTurns(contenders, rounds, (name, round, { figure }) =>
          say(`${name}, round ${round}: ${Math.round(figure)}/s stored`),
        );
        for (const [i, [name, one]] of [...found].entries())
          detail[name] = { sensors: SENSORS[i] ?? 0, workers, ...row(one) };
      } finally {
        watch.stop();
        await stage.close();
      }
    }
    const best = Math.max(...Object.values(detail).map(({ median }) => median ?? 0));
    const load = { readingsARun: total, inFlight: IN_FLIGHT, values: 4, qos: 1 };
    return {
      bench: 'scaling',
      unit: 'readings stored/s',
      loam: best,
      peers: {},
      ratio: {},
      detail: { ...detail, load },
    };
  },
};
