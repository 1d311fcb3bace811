import { clock } from '../../core/clock.ts';
import type { LoadPlan } from '../../simulators/load/plan.ts';
import type { RunOptions } from '../../simulators/run.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import type { LoadSettings, SimulateOptions } from './options.ts';

/**
 * In a closed loop the times of a sensor's readings are 1 ms apart. Above a thousand publishes a second they run ahead
 * of the clock: so they begin an hour ago.
 */
const AHEAD_MS = 3_600_000;

/** The plan of a load test over the connections of a script, with payloads in the native format. */
export function loadPlan(
  { script, run, forMs }: SimulateOptions,
  { rate, rampMs, inFlight, threads, qos }: LoadSettings,
  signIn: RunOptions['signIn'],
): LoadPlan {
  return {
    url: run.url,
    connections: script.lines.map((line) => ({
      clientId: line.id,
      ...signIn(line),
      sensors: line.devices.map(({ id, group: { farm } }) => ({ farm, sensor: id, topic: telemetryTopic(farm, id) })),
    })),
    pace: rate === undefined ? { loop: 'closed' } : { loop: 'open', rate, rampMs },
    qos,
    inFlight,
    threads,
    times: rate === undefined ? { are: 'stepped', first: clock.now() - AHEAD_MS, step: 1 } : { are: 'due' },
    ...(forMs === undefined ? {} : { forMs }),
  };
}
