import { pause } from '../core/timing.ts';
import { runLoad } from '../simulators/load/load.ts';
import { coresOf, type ProcessWatch } from '../test/chaos/processes.ts';
import { FARM, type Stage } from '../test/chaos/stage.ts';
import type { Run } from './turns.ts';

/** Publishes that wait for their acknowledgement, over all sensors: so many that the broker always has a full batch to make, and one a sensor. */
export const IN_FLIGHT = 2_000;
const ASK_MS = 50;

const KINDS: Readonly<Record<string, RegExp>> = {
  cores: /./,
  generatorCores: /^generator$/,
  upCores: /^up$/,
  brokerCores: /^broker$/,
  workerCores: /^worker/,
  gatewayCores: /^gateway$/,
  rabbitmqCores: /^RabbitMQ$/,
  influxdbCores: /^InfluxDB$/,
};

/**
 * Readings stored a second, from the first of `total` publishes until those who write say that all are written, as a closed loop of the stage's
 * first `sensors`. Beside it what each kind of process took of the machine meanwhile, and how long an acknowledgement took.
 */
export async function storedRate(stage: Stage, watch: ProcessWatch, sensors: number, total: number): Promise<Run> {
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
  const kinds = Object.entries(KINDS).flatMap(([kind, names]) => {
    const own = cores.filter(([name]) => names.test(name));
    return own.length === 0 ? [] : [[kind, own.reduce((sum, [, share]) => sum + share, 0)] as const];
  });
  return {
    figure: total / seconds,
    beside: {
      acknowledgedPerSecond: report.perSecond,
      p50Ms: report.latencyMs?.p50 ?? 0,
      p99Ms: report.latencyMs?.p99 ?? 0,
      ...Object.fromEntries(kinds),
    },
  };
}

/** Readings that those who write say they have written. */
async function written(stage: Stage): Promise<number> {
  const writers = Object.values(stage.roles).filter(({ name }) => /^(up|worker)/.test(name));
  const counts = await Promise.all(writers.map((one) => one.metric(`loam_readings_written_total{farm="${FARM}"}`)));
  return counts.reduce((sum: number, count) => sum + (count ?? 0), 0);
}
