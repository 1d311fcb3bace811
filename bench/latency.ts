import { z } from 'zod';
import { hashPassword } from '../core/secrets.ts';
import { runLoad } from '../simulators/load/load.ts';
import type { LoadPlan } from '../simulators/load/plan.ts';
import { influx } from '../test/services/influx.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { until } from '../test/services/wait.ts';
import { Times } from './fan-out/times.ts';
import { WholeFarm } from './fan-out/whole-farm.ts';
import { benchFarm } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { HTTP_ADDRESS, MQTT_ADDRESS, startLoam } from './servers/loam.ts';
import { byTurns, type Run, row } from './turns.ts';

const SENSORS = 1_000;
const FARM = 'bench';
const USER = { user: 'viewer', password: 'a password for the benchmark' };

/** Where Loam keeps things, readings a second, and how long it may take at most, ms (99th percentile). */
const CASES = [
  { name: 'embedded, 1,000/s', servers: false, rate: 1_000, aim: 30 },
  { name: 'embedded, 10,000/s', servers: false, rate: 10_000, aim: 200 },
  { name: 'servers, 1,000/s', servers: true, rate: 1_000, aim: 50 },
  { name: 'servers, 10,000/s', servers: true, rate: 10_000, aim: 200 },
] as const;

/**
 * How long a reading takes from the moment its QoS 1 publish was due until a viewer of the whole farm has it, as a page gets it: over a
 * WebSocket, parsed. `loam up`, embedded and on RabbitMQ + InfluxDB. There is no peer: nobody else has this path.
 */
export const latency: Benchmark = {
  name: 'latency',
  about: 'ms from publish to a viewer, embedded and on RabbitMQ + InfluxDB, at 1,000 and 10,000 readings/s',
  async run({ quick, say }): Promise<Outcome> {
    const forMs = quick ? 3_000 : 10_000;
    const contenders = CASES.map(({ name, servers, rate }) => ({ name, measure: () => measure(servers, rate, forMs) }));
    const found = await byTurns(contenders, quick ? 1 : 3, (name, round, { figure, beside }) =>
      say(`${name}, run ${round}: p50 ${beside?.p50Ms} ms, p99 ${figure} ms`),
    );
    const [first, ...rest] = CASES.map(({ name, aim }) => {
      const summary = found.get(name);
      return { name, p99: summary?.median ?? Number.NaN, figures: summary ? { ...row(summary), aimedP99Ms: aim } : {} };
    });
    return {
      bench: 'latency',
      unit: 'ms from publish to a viewer, 99th percentile (lower is better)',
      loam: first?.p99 ?? Number.NaN,
      peers: Object.fromEntries(rest.map(({ name, p99 }) => [name, p99])),
      ratio: {},
      detail: { loam: first?.figures ?? {}, ...Object.fromEntries(rest.map(({ name, figures }) => [name, figures])) },
    };
  },
};

async function measure(servers: boolean, rate: number, forMs: number): Promise<Run> {
  const { yaml, connections } = benchFarm(SENSORS);
  const user = `users:\n  - { name: ${USER.user}, password: ${await hashPassword(USER.password)}, farms: { ${FARM}: viewer } }\n`;
  const loam = await startLoam('up', `${yaml}${user}`, {
    LOAM_DEMO: 'false',
    ...(servers ? await serverSettings() : {}),
  });
  try {
    const [, mqtt = ''] = await loam.says(MQTT_ADDRESS);
    const [, http = ''] = await loam.says(HTTP_ADDRESS);
    const times = new Times();
    const warmupMs = 3_000;
    let from = Number.POSITIVE_INFINITY;
    let heard = 0;
    const viewer = await WholeFarm.open(http, await cookieOf(http), FARM, (ts) => {
      heard = Date.now();
      if (ts >= from) times.add(heard - ts);
    });
    const onBegin = () => {
      from = Date.now() + warmupMs;
    };
    const plan: LoadPlan = {
      url: `mqtt://${mqtt}`,
      connections,
      pace: { loop: 'open', rate, rampMs: 500 },
      qos: 1,
      inFlight: 100,
      times: { are: 'due' },
      metrics: 0,
      warmupMs,
      forMs: warmupMs + forMs,
    };
    await runLoad(plan, { onBegin });
    // What is still under way counts too.
    await until('nothing more comes', () => Date.now() - heard > 1_000, { timeoutMs: 60_000 });
    viewer.close();
    const { p99Ms, p50Ms, maxMs } = times.percentiles();
    return { figure: p99Ms, beside: { p50Ms, maxMs, readingsPerSecond: times.count / (forMs / 1_000) } };
  } finally {
    await loam.close();
  }
}

async function serverSettings(): Promise<Record<string, string>> {
  const [{ url }, store] = await Promise.all([rabbit(), influx()]);
  return { LOAM_QUEUE: url, LOAM_LOG: url, LOAM_STORE: store.storeUrl(`latency${Date.now()}`) };
}

async function cookieOf(http: string): Promise<string> {
  const answer = await fetch(`${http}/api/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(USER),
  });
  z.literal(200).parse(answer.status);
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}
