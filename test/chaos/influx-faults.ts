import { setTimeout as delay } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { until } from '../services/wait.ts';
import { type Fault, lasting } from './fault.ts';
import { frozenServer } from './processes.ts';
import { DATABASE, type Servers, type Stage } from './stage.ts';

const isWrite = (url: string) => url.startsWith('/write') || url.startsWith('/api/v2/write');

/** What happens to InfluxDB, on the way to it, and what its operators do. */
export function influxFaults({ influx, http }: Servers): Fault[] {
  const answering = (name: string, fault: Parameters<typeof http.set>[0]): Fault =>
    lasting(
      name,
      async () => http.set(fault),
      async () => http.clear(),
    );
  let writes = 0;
  return [
    lasting('InfluxDB stopped', influx.stop, influx.start),
    { name: 'kill -9 InfluxDB', happen: () => influx.kill().then(influx.start) },
    frozenServer('InfluxDB'),
    answering('InfluxDB answers 503', () => ({ status: 503 })),
    answering('InfluxDB does not answer', () => 'hang'),
    answering('InfluxDB answers 429 to writes', ({ url }) => (isWrite(url) ? { status: 429 } : undefined)),
    answering('InfluxDB takes 100 kB at most', ({ body }) => (body.length > 100_000 ? { status: 413 } : undefined)),
    answering('InfluxDB answers 500 to every other write', ({ url }) => {
      writes += 1;
      return isWrite(url) && writes % 2 === 0 ? { status: 500, body: '{"error":"engine: timeout"}' } : undefined;
    }),
    answering('InfluxDB answers 401: the password was changed', () => ({
      status: 401,
      body: '{"error":"authorization failed"}',
    })),
    answering('InfluxDB asks to be left alone for 3 s', ({ url }) =>
      isWrite(url) ? { status: 503, headers: { 'retry-after': '3' } } : undefined,
    ),
    answering('InfluxDB takes writes, and its answers break off', ({ url }) => (isWrite(url) ? 'half' : undefined)),
    answering('connections to InfluxDB reset', () => 'reset'),
    lasting(
      'InfluxDB slow: 2 s a request',
      async () => http.delay(2_000),
      async () => http.delay(0),
    ),
  ];
}

/** Older than the oldest group of shards that the load writes to: InfluxDB stores what such a group covers, however old it is. */
const OLD_MS = 15 * 86_400_000;

/** What somebody does to the database. */
export function databaseFaults({ servers, spare, mqttUrl, roles }: Stage): Fault[] {
  if (!servers || !spare) return [];
  const { influx } = servers;
  const retention = (duration: string, shard: string) =>
    influx.query(
      DATABASE,
      `ALTER RETENTION POLICY autogen ON ${DATABASE} DURATION ${duration} SHARD DURATION ${shard}`,
    );
  return [
    {
      name: 'database dropped, and made again',
      harm: 'emptiesStore',
      happen: async (holdMs) => {
        await influx.query(DATABASE, `DROP DATABASE ${DATABASE}`);
        await delay(holdMs);
        await influx.createDatabase(DATABASE);
      },
    },
    {
      name: 'retention shorter than the age of some readings',
      happen: async () => {
        const aside = async () => {
          const counts = await Promise.all(Object.values(roles).map((role) => role.setAside('beyond_retention')));
          return counts.reduce((sum, count) => sum + count, 0);
        };
        await retention('1h', '1h');
        const topic = spare.sensors[0]?.topic ?? '';
        const { clientId, username = '', password = '' } = spare;
        const client = await connectAsync(mqttUrl, { clientId, username, password, protocolVersion: 4 });
        // One after another: those of a sensor that are written together are one letter.
        for (let i = 0; i < 3; i++) {
          const before = await aside();
          const ts = Date.now() - OLD_MS + i;
          await client.publishAsync(topic, JSON.stringify({ ts, values: { soil_moisture: i } }), { qos: 1 });
          await until('the old reading to be set aside', async () => (await aside()) > before, { timeoutMs: 60_000 });
        }
        await client.endAsync();
        await retention('0s', '168h');
      },
    },
  ];
}
