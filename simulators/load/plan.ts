/** A sensor that the generator speaks for. */
export interface LoadSensor {
  readonly farm: string;
  readonly sensor: string;
  /** Where its readings are published. */
  readonly topic: string;
}

/** One MQTT connection. It publishes for its sensors by turns: one of its own, or many as a gateway does. */
export interface LoadConnection {
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly sensors: readonly LoadSensor[];
}

/**
 * When publishes are due. Closed loop: the next one as soon as an acknowledgement makes room on its connection, as fast
 * as possible. Open loop: `rate` a second over all connections, whether or not they are acknowledged; during `rampMs`
 * the rate rises evenly to it.
 */
export type LoadPace =
  | { readonly loop: 'closed' }
  | { readonly loop: 'open'; readonly rate: number; readonly rampMs?: number };

/**
 * The times of the readings. Stepped: a sensor's reading number `seq` (from 1) is of `first + (seq - 1) × step`, so its
 * times are distinct and known beforehand. Due: when its publish was due, made later where a sensor would have the same
 * millisecond twice.
 */
export type PlannedTimes =
  | { readonly are: 'stepped'; readonly first: number; readonly step: number }
  | { readonly are: 'due' };

/** A load test. Times in ms. */
export interface LoadPlan {
  /** `mqtt://HOST:PORT` or `mqtts://HOST:PORT` */
  readonly url: string;
  readonly connections: readonly LoadConnection[];
  readonly pace: LoadPace;
  readonly qos: 0 | 1;
  /** Most publishes of a connection that wait for their acknowledgement. */
  readonly inFlight: number;
  /** How long the test publishes; absent: until `total` or the signal. */
  readonly forMs?: number;
  /** The test ends after this many publishes, over all connections. */
  readonly total?: number;
  readonly times: PlannedTimes;
  /** The first sequence number of each sensor, for a run that goes on where another ended. */
  readonly firstSeq?: number;
  /** Metrics beside `seq` in each reading: 3 make a payload of about 110 bytes. */
  readonly metrics?: number;
  readonly keepaliveS?: number;
  /** Threads among which the connections are divided. */
  readonly threads?: number;
  /** Connection attempts at once, over all threads. */
  readonly connecting?: number;
  /** At the start, the run fails when no further connection comes up for this long. */
  readonly connectWithinMs?: number;
  /** How long the run waits for acknowledgements at the end. */
  readonly graceMs?: number;
  /** How much of the beginning is left out of the rates and latencies; counts include it. */
  readonly warmupMs?: number;
  /** A file that gets every acknowledged reading (see `readPromises`). */
  readonly promises?: string;
  /** Certificates (PEM) to trust with `mqtts:` instead of the system's. */
  readonly ca?: string;
}

export const DEFAULTS = {
  firstSeq: 1,
  metrics: 3,
  keepaliveS: 60,
  threads: 1,
  connecting: 200,
  connectWithinMs: 10_000,
  graceMs: 10_000,
  warmupMs: 0,
} as const;

/** A plan with every default filled in. */
export type FullPlan = LoadPlan & Required<Pick<LoadPlan, keyof typeof DEFAULTS>>;

/**
 * Fills the defaults in. Throws RangeError for a plan that cannot be run: numbers out of range, no connection, a
 * connection without a sensor, a bad URL.
 */
export function completePlan(plan: LoadPlan): FullPlan {
  const full: FullPlan = { ...DEFAULTS, ...plan };
  const wrong = problemOf(full);
  if (wrong !== undefined) throw new RangeError(wrong);
  return { ...full, threads: Math.min(full.threads, full.connections.length) };
}

function problemOf(plan: FullPlan): string | undefined {
  if (!URL.canParse(plan.url) || !/^mqtts?:$/.test(new URL(plan.url).protocol)) {
    return `the address is to be mqtt://HOST:PORT, not ${JSON.stringify(plan.url)}`;
  }
  if (plan.connections.length === 0) return 'a load needs at least one connection';
  const idle = plan.connections.find(({ sensors }) => sensors.length === 0);
  if (idle) return `connection ${idle.clientId} has no sensor to publish for`;
  const whole = { inFlight: plan.inFlight, threads: plan.threads, connecting: plan.connecting };
  for (const [name, value] of Object.entries(whole)) {
    if (!Number.isInteger(value) || value < 1 || value > 65_535) return `${name} is to be 1 to 65535, not ${value}`;
  }
  if (plan.pace.loop === 'open' && !(plan.pace.rate > 0 && plan.pace.rate <= 10_000_000)) {
    return `rate is to be above 0 a second, not ${plan.pace.rate}`;
  }
  if (plan.keepaliveS < 1 || plan.keepaliveS > 65_535) return `keepalive is to be 1 to 65535 s, not ${plan.keepaliveS}`;
  return undefined;
}

/** What part `index` of `parts` has to do: every `parts`-th connection, and its share of the rate and of the total. */
export function partOf(plan: FullPlan, index: number, parts: number): FullPlan {
  const connections = plan.connections.filter((_, i) => i % parts === index);
  const share = connections.length / plan.connections.length;
  const { pace, total } = plan;
  return {
    ...plan,
    connections,
    connecting: Math.max(1, Math.ceil(plan.connecting / parts)),
    pace: pace.loop === 'open' ? { ...pace, rate: pace.rate * share } : pace,
    ...(total === undefined ? {} : { total: partTotal(total, index, parts) }),
  };
}

function partTotal(total: number, index: number, parts: number): number {
  return Math.floor((total * (index + 1)) / parts) - Math.floor((total * index) / parts);
}
