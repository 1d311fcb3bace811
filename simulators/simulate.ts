import { pause } from '../core/lifecycle.ts';
import { type Logger, silent } from '../core/logger.ts';
import type { DemoCredential } from './demo.ts';
import { Probe } from './probe.ts';
import { inRounds } from './rounds.ts';
import { Sensor, type SensorCounts } from './sensor.ts';

export interface SimulateOptions {
  /** `mqtt://HOST:PORT` */
  readonly url: string;
  readonly credentials: readonly DemoCredential[];
  /** Between two readings of one sensor. */
  readonly intervalMs: number;
  /** Ends by itself after so long; absent: only with `signal`. */
  readonly forMs?: number;
  readonly signal?: AbortSignal;
  /** Called about once a second, and not any more when the promise has resolved. */
  readonly onProgress?: (progress: SimulateProgress) => void;
  readonly log?: Logger;
}

/** Counts are messages of all sensors together. */
export interface SimulateProgress extends Readonly<SensorCounts> {
  readonly connected: number;
  readonly sensors: number;
  /** Why the broker refused a sensor; absent when it refused none. */
  readonly refused?: string;
}

const PROGRESS_MS = 1_000;
const FAREWELL_MS = 5_000;

/** Publishes believable readings as every given sensor, over real MQTT. Resolves with the totals when it has ended. */
export async function simulate(options: SimulateOptions): Promise<SimulateProgress> {
  const { url, credentials, intervalMs, forMs, onProgress, log = silent } = options;
  const members = credentials.map(({ id, farm, secret, kind, seed }) => ({
    sensor: new Sensor({ url, id, farm, secret, log }),
    probe: new Probe(kind, seed),
  }));
  const sensors = members.map(({ sensor }) => sensor);
  const ending = new AbortController();
  const end = () => ending.abort();
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted) end();

  for (const sensor of sensors) sensor.start();
  const stopPublishing = inRounds(members.length, intervalMs, (turn) => {
    const member = members[turn];
    const now = Date.now();
    void member?.sensor.send([{ ts: now, values: member.probe.valuesAt(now) }]);
  });
  const reporter = setInterval(() => onProgress?.(progressOf(sensors)), PROGRESS_MS);
  const timer = forMs === undefined ? undefined : setTimeout(end, forMs);
  try {
    while (!ending.signal.aborted) await pause(3_600_000, ending.signal);
  } finally {
    stopPublishing();
    clearInterval(reporter);
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', end);
  }
  const refused = progressOf(sensors).refused;
  await Promise.all(sensors.map((sensor) => sensor.stop(FAREWELL_MS)));
  return { ...progressOf(sensors), ...(refused === undefined ? {} : { refused }) };
}

function progressOf(sensors: readonly Sensor[]): SimulateProgress {
  const total = { published: 0, acknowledged: 0, failed: 0, connected: 0, sensors: sensors.length };
  let refused = '';
  for (const sensor of sensors) {
    total.published += sensor.counts.published;
    total.acknowledged += sensor.counts.acknowledged;
    total.failed += sensor.counts.failed;
    total.connected += sensor.connected ? 1 : 0;
    refused ||= sensor.refused;
  }
  return refused ? { ...total, refused } : total;
}
