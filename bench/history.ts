import { performance } from 'node:perf_hooks';
import { openInfluxStore } from '../backbone/influx/store.ts';
import type { Store } from '../backbone/ports/store.ts';
import type { Reading } from '../telemetry/reading.ts';
import { Place } from '../test/gateway/harness.ts';
import { startInflux } from '../test/services/influx.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { byTurns, type Contender, row } from './turns.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DAYS = 30;
const POINTS = 500;
const FARM = 'bench';
const DATABASE = 'loam_bench';
const TOKEN = 'b'.repeat(40);
/** Two hours: the width of buckets that 30 days in 500 points come to. */
const BUCKET = 2 * HOUR;

/**
 * Thirty days at one reading a minute, asked of a gateway over HTTP with 500 points: one sensor, and the mean and band of a field of all of them.
 * Asked for the first time (each question is about other buckets than those before), and again from memory. `influxql` is the same question for one sensor
 * put to the same InfluxDB by itself; beside it stands what a dashboard builder asks, the mean alone.
 */
export const history: Benchmark = {
  name: 'history',
  about:
    '30 days of a sensor, and of a field of 100, in 500 points over HTTP: DuckDB, InfluxDB, and InfluxDB asked directly',
  async run({ quick, say }): Promise<Outcome> {
    const sensors = Array.from({ length: quick ? 15 : 100 }, (_, i) => `s${i}`);
    const rounds = quick ? 5 : 15;
    const to = Math.floor(Date.now() / DAY) * DAY;
    const from = to - DAYS * DAY;
    const [place, server] = await Promise.all([Place.open(), startInflux()]);
    await server.createDatabase(DATABASE);
    const influx = await openInfluxStore(server.storeUrl(DATABASE));
    try {
      await place.edit(() => registryOf(sensors));
      const readings = DAYS * 24 * 60 * sensors.length;
      for (const [name, store] of [
        ['DuckDB', place.store],
        ['InfluxDB', influx],
      ] as const) {
        const begun = performance.now();
        await fill(store, sensors, from, to);
        say(`${readings} readings are in ${name}, ${Math.round(readings / ((performance.now() - begun) / 1000))}/s`);
      }
      const duckdb = await asker(place, place.store);
      const influxdb = await asker(place, influx);
      const range = (shift: number) => `from=${from + shift}&to=${to}&points=${POINTS}&metric=m`;
      // Each question begins a bucket later than the last: none of it can be in memory.
      let turn = 0;
      const next = () => ++turn * BUCKET;
      const asks: Record<string, () => Promise<number>> = {
        'influxdb, sensor': () => influxdb(`sensor=s${turn % sensors.length}&${range(next())}`),
        'influxdb, field': () => influxdb(`field=all&${range(next())}`),
        'duckdb, sensor': () => duckdb(`sensor=s${turn % sensors.length}&${range(next())}`),
        'duckdb, field': () => duckdb(`field=all&${range(next())}`),
        'influxdb, sensor, again': () => influxdb(`sensor=s0&${range(1)}`),
        'influxdb, field, again': () => influxdb(`field=all&${range(1)}`),
        'duckdb, sensor, again': () => duckdb(`sensor=s0&${range(1)}`),
        'duckdb, field, again': () => duckdb(`field=all&${range(1)}`),
        influxql: () => influxql(server.url, FIVE, `s${turn % sensors.length}`, from + next(), to),
        'influxql, mean alone': () => influxql(server.url, 'mean("m")', `s${turn % sensors.length}`, from + next(), to),
      };
      for (const ask of Object.values(asks)) await ask();
      const contenders = Object.entries(asks).map(
        ([name, ask]): Contender => ({
          name,
          measure: async () => {
            const begun = performance.now();
            const rows = await ask();
            return { figure: performance.now() - begun, beside: { rows } };
          },
        }),
      );
      const summaries = await byTurns(contenders, rounds, (name, round, { figure }) =>
        say(`round ${round}: ${name} ${figure.toFixed(1)} ms`),
      );
      const figure = (name: string) => summaries.get(name)?.median ?? Number.NaN;
      const loam = figure('influxdb, sensor');
      return {
        bench: 'history',
        unit: 'ms for 30 days of one sensor on InfluxDB',
        loam,
        peers: { influxql: figure('influxql') },
        ratio: { influxql: figure('influxql') / loam },
        detail: {
          ...Object.fromEntries([...summaries].map(([name, summary]) => [name, row(summary)])),
          load: { sensors: sensors.length, days: DAYS, readings, points: POINTS },
        },
        versions: { influxdb: await server.version() },
      };
    } finally {
      await place.close();
      await influx.close();
      await server.close();
    }
  },
};

function registryOf(sensors: readonly string[]): string {
  return [
    'farms:',
    `  - { id: ${FARM}, name: Bench, timezone: Europe/Berlin }`,
    'fields:',
    `  - { id: all, farm: ${FARM}, name: All }`,
    'sensors:',
    ...sensors.map((id) => `  - { id: ${id}, farm: ${FARM}, field: all }`),
    '',
  ].join('\n');
}

/** One reading a minute of each sensor, in the order in which they would come. */
async function fill(store: Store, sensors: readonly string[], from: number, to: number): Promise<void> {
  let batch: Reading[] = [];
  for (let ts = from; ts < to; ts += MINUTE) {
    for (const [i, sensor] of sensors.entries()) {
      const value = 30 + Math.sin(ts / DAY + i) * 5;
      batch.push({ farm: FARM, sensor, ts, received: ts, values: { m: value } });
    }
    if (batch.length < 20_000) continue;
    await store.write(batch);
    batch = [];
  }
  await store.write(batch);
}

/** Asks a gateway over `store` for a history; resolves with the number of its rows. */
async function asker(place: Place, store: Store): Promise<(query: string) => Promise<number>> {
  const gateway = await place.gateway({ store, adminToken: TOKEN });
  return async (query) => {
    const address = `${gateway.url}/api/farms/${FARM}/history?${query}`;
    const answer = await fetch(address, { headers: { authorization: `Bearer ${TOKEN}` } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${address}: ${text}`);
    const { rows }: { rows: unknown[] } = JSON.parse(text);
    return rows.length;
  };
}

const FIVE = ['last', 'min', 'max', 'count', 'mean'].map((aggregate) => `${aggregate}("m")`).join(', ');

async function influxql(url: string, what: string, sensor: string, from: number, to: number): Promise<number> {
  const q = `SELECT ${what} FROM "readings" WHERE "farm" = '${FARM}' AND "sensor" = '${sensor}' AND time >= ${from}ms AND time < ${to}ms GROUP BY time(2h)`;
  const answer = await fetch(`${url}/query?${new URLSearchParams({ db: DATABASE, q, epoch: 'ms' })}`);
  const { results }: { results: { series: { values: unknown[] }[] }[] } = JSON.parse(await answer.text());
  return results[0]?.series[0]?.values.length ?? 0;
}
