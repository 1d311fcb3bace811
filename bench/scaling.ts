import { pause } from '../core/lifecycle.ts';
import { runLoad } from '../simulators/load/load.ts';
import { coresOf, ProcessWatch } from '../test/chaos/processes.ts';
import { type Stage, serversStage } from '../test/chaos/stage.ts';
import { UNLIMITED } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { type Run, row, summary } from './turns.ts';

const SENSORS = [10, 100, 1_000, 10_000] as const;
const WORKERS = [1, 2, 4] as const;
/** Publishes that wait for their acknowledgement, over all sensors: so many that the broker always has a full batch to make, and one a sensor. */
const IN_FLIGHT = 2_000;
const ASK_MS = 50;

/**
 * How the cost grows with sensors and with workers, on RabbitMQ + InfluxDB: readings stored a second, from the first publish until the workers
 * say that all are written, as a closed loop; what each kind of process takes of the machine meanwhile; and how long an acknowledgement takes.
 */
export const scaling: Benchmark = {
  name: 'scaling',
  about: 'readings stored a second with 10 to 10,000 sensors and 1, 2 and 4 workers, and what it costs',
  async run({ quick, say }): Promise<Outcome> {
    const [rounds, total] = quick ? [1, 20_000] : [2, 120_000];
    const detail: Record<string, Record<string, number>> = {};
    for (const workers of quick ? [1] : WORKERS) {
      const stage = await serversStage({ sensors: Math.max(...SENSORS), nodes: 1, workers, rates: UNLIMITED });
      const watch = new ProcessWatch(stage, 250);
      try {
        await measure(stage, watch, 100, total / 4);
        for (const sensors of SENSORS) {
          const runs: Run[] = [];
          for (let round = 0; round < rounds; round++) runs.push(await measure(stage, watch, sensors, total));
          const name = `${sensors.toLocaleString('en')} sensors, ${workers} worker${workers > 1 ? 's' : ''}`;
          detail[name] = { sensors, workers, ...row(summary(runs)) };
          say(`${name}: ${Math.round(detail[name].median ?? 0)}/s stored`);
        }
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

async function measure(stage: Stage, watch: ProcessWatch, sensors: number, total: number): Promise<Run> {
  const before = await written(stage);
  let [begun, from] = [performance.now(), watch.now];
  const report = await runLoad(
    {
      url: stage.mqttUrl,
      connections: stage.connections.slice(0, sensors),
      pace: { loop: 'closed' },
      qos: 1,
      inFlight: Math.max(1, Math.floor(IN_FLIGHT / sensors)),
      times: { are: 'due' },
      metrics: 3,
      total,
      graceMs: 60_000,
      connectWithinMs: 60_000,
    },
    {
      onBegin: () => {
        [begun, from] = [performance.now(), watch.now];
      },
    },
  );
  if (report.acknowledged !== total) throw new Error(`${report.acknowledged} of ${total} were acknowledged`);
  while ((await written(stage)) - before < total) await pause(ASK_MS);
  const seconds = (performance.now() - begun) / 1_000;
  const cores = Object.entries(coresOf(watch.samples, from, watch.now));
  const of = (name: RegExp) => cores.reduce((sum, [each, share]) => sum + (name.test(each) ? share : 0), 0);
  return {
    figure: total / seconds,
    beside: {
      acknowledgedPerSecond: report.perSecond,
      p50Ms: report.latencyMs?.p50 ?? 0,
      p99Ms: report.latencyMs?.p99 ?? 0,
      cores: of(/./),
      generatorCores: of(/^generator$/),
      brokerCores: of(/^broker$/),
      workerCores: of(/^worker/),
      gatewayCores: of(/^gateway$/),
      rabbitmqCores: of(/^RabbitMQ$/),
      influxdbCores: of(/^InfluxDB$/),
    },
  };
}

/** Readings that the workers say they have written. */
async function written(stage: Stage): Promise<number> {
  const workers = Object.values(stage.roles).filter(({ name }) => name.startsWith('worker'));
  const counts = await Promise.all(workers.map((worker) => worker.metric('loam_readings_written_total{farm="north"}')));
  return counts.reduce((sum: number, count) => sum + (count ?? 0), 0);
}
