import { z } from 'zod';
import { pause } from '../core/lifecycle.ts';
import { hashPassword } from '../core/secrets.ts';
import { runLoad } from '../simulators/load/load.ts';
import { influx } from '../test/services/influx.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { Times } from './fan-out/times.ts';
import { WholeFarm } from './fan-out/whole-farm.ts';
import { benchFarm } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { MQTT_ADDRESS, startLoam } from './servers/loam.ts';

const SENSORS = 1_000;
const FARM = 'bench';
const USER = { user: 'viewer', password: 'a password for the benchmark' };
const HTTP_ADDRESS = /Open (http:\/\/127\.0\.0\.1:\d+)/;

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
    const detail: Record<string, Record<string, number>> = {};
    for (const one of CASES) {
      const { p50Ms, p99Ms, maxMs, readings } = await measure(one.servers, one.rate, forMs);
      detail[one.name] = { p50Ms, p99Ms, maxMs, aimedP99Ms: one.aim, readingsPerSecond: readings / (forMs / 1_000) };
      say(`${one.name}: p50 ${p50Ms} ms, p99 ${p99Ms} ms`);
    }
    const loam = detail[CASES[0].name]?.p99Ms ?? Number.NaN;
    return {
      bench: 'latency',
      unit: 'ms, 99th percentile, embedded, 1,000 readings/s',
      loam,
      peers: {},
      ratio: {},
      detail,
    };
  },
};

async function measure(servers: boolean, rate: number, forMs: number) {
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
    const viewer = await WholeFarm.open(http, await cookieOf(http), FARM, (ts) => times.add(Date.now() - ts));
    const warmupMs = 2_000;
    setTimeout(() => times.clear(), warmupMs);
    await runLoad({
      url: `mqtt://${mqtt}`,
      connections,
      pace: { loop: 'open', rate, rampMs: 500 },
      qos: 1,
      inFlight: 100,
      times: { are: 'due' },
      metrics: 0,
      warmupMs,
      forMs: warmupMs + forMs,
    });
    await pause(500);
    viewer.close();
    return { ...times.percentiles(), readings: times.count };
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
