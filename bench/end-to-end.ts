import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../core/timing.ts';
import { runLoad } from '../simulators/load/load.ts';
import type { LoadConnection } from '../simulators/load/plan.ts';
import { influx } from '../test/services/influx.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { benchFarm, FARM, signedInAs, steppedTimes } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { HTTP_ADDRESS, MQTT_ADDRESS, OPS_ADDRESS, startLoam } from './servers/loam.ts';
import { startMosquitto } from './servers/mosquitto.ts';
import { installNodeRed, startNodeRed } from './servers/node-red.ts';
import { exportedBy, type Stored, storedInInflux, writtenBy } from './servers/stored.ts';
import { byTurns, type Contender, type Run, row } from './turns.ts';

const CONNECTIONS = 100;
const IN_FLIGHT = 20;
const ASK_MS = 50;
/** Nothing more has come for so long: what is missing then is not on its way. */
const STILL_MS = 5_000;
const LOAM_DATABASE = 'loam';
const NODE_RED_DATABASE = 'node_red';

/** Readings of a run. Node-RED gets fewer, so that its run takes about as long: all that it is given beyond its pace waits in its memory. */
interface Size {
  readonly rounds: number;
  readonly loam: number;
  readonly nodeRed: number;
}

/**
 * Readings of four values that are published (QoS 1, closed loop), acknowledged, and shown by the store, a second from the first publish until the
 * store shows the last. `node-red` is Mosquitto, Node-RED and its InfluxDB node, into another database of the same InfluxDB.
 */
export const endToEnd: Benchmark = {
  name: 'end-to-end',
  about: 'readings published, acknowledged and stored a second: RabbitMQ + InfluxDB, embedded, Node-RED + InfluxDB',
  async run({ quick, say }): Promise<Outcome> {
    const size: Size = quick
      ? { rounds: 2, loam: 40_000, nodeRed: 4_000 }
      : { rounds: 5, loam: 300_000, nodeRed: 20_000 };
    const [store] = await Promise.all([influx(), rabbit(), installNodeRed(say)]);
    const chains = await Promise.all([servers(), embedded(), nodeRed()]);
    const totals = [size.loam, size.loam, size.nodeRed];
    try {
      const contenders = chains.map((chain, i) => contender(chain, totals[i] ?? 0));
      // The first run of each is to warm it up.
      for (const chain of chains) await measure(chain, 4_000);
      const summaries = await byTurns(contenders, size.rounds, (name, round, { figure, beside }) =>
        say(`round ${round}: ${name} ${Math.round(figure)}/s, ${beside?.lost ?? 0} lost`),
      );
      const figure = (name: string) => summaries.get(name)?.median ?? Number.NaN;
      return {
        bench: 'end-to-end',
        unit: 'readings published, acknowledged and stored/s',
        loam: figure('loam'),
        peers: { 'node-red': figure('node-red') },
        ratio: { 'node-red': figure('loam') / figure('node-red') },
        detail: {
          ...Object.fromEntries([...summaries].map(([name, summary]) => [name, row(summary)])),
          load: {
            connections: CONNECTIONS,
            inFlight: IN_FLIGHT,
            qos: 1,
            values: 4,
            readings: size.loam,
            readingsToNodeRed: size.nodeRed,
          },
        },
        versions: {
          influxdb: await store.version(),
          rabbitmq: await (await rabbit()).version(),
          ...chains[2].versions,
        },
      };
    } finally {
      for (const chain of chains) await chain.close();
    }
  },
};

/** A way from an MQTT port to a store. */
interface Chain {
  readonly name: string;
  readonly url: string;
  readonly connections: readonly LoadConnection[];
  /** How many readings from `from` on the store shows; `all`: so many are to come. */
  stored(from: number, all: number): Promise<Stored>;
  /** Deletes them where that can be done. */
  empty(): Promise<void>;
  /** Whether everything that was acknowledged is to be there. */
  readonly keeps: boolean;
  close(): Promise<void>;
}

async function servers(): Promise<Chain> {
  const [{ url }, store] = await Promise.all([rabbit(), influx()]);
  const { yaml, connections } = benchFarm(CONNECTIONS);
  const env = { LOAM_QUEUE: url, LOAM_LOG: url, LOAM_STORE: store.storeUrl(LOAM_DATABASE) };
  const worker = await startLoam('worker', yaml, env);
  await worker.says(/worker is ready/);
  const broker = await startLoam('broker', yaml, env);
  const [, address = ''] = await broker.says(MQTT_ADDRESS);
  return {
    name: 'loam',
    url: `mqtt://${address}`,
    connections,
    stored: (from) => storedInInflux(store, LOAM_DATABASE, from),
    empty: async () => {
      await store.query(LOAM_DATABASE, 'DROP MEASUREMENT readings');
    },
    keeps: true,
    close: async () => {
      await broker.close();
      await worker.close();
    },
  };
}

async function embedded(): Promise<Chain> {
  const { yaml, connections } = benchFarm(CONNECTIONS);
  const loam = await startLoam('up', yaml, { LOAM_DEMO: 'false' });
  const [, mqtt = ''] = await loam.says(MQTT_ADDRESS);
  const [, http = ''] = await loam.says(HTTP_ADDRESS);
  const [, ops = ''] = await loam.says(OPS_ADDRESS);
  const address = { http, ops, token: (await readFile(join(loam.data, 'admin-token'), 'utf8')).trim(), farm: FARM };
  let before = 0;
  return {
    name: 'loam, embedded',
    url: `mqtt://${mqtt}`,
    connections,
    // To ask DuckDB for all of it takes the processor from what is measured: that is done once, when the process says that all is written.
    stored: async (from, all) => {
      const written = await writtenBy(address);
      if (written.count - before < all) return { ...written, count: written.count - before };
      return { ...written, count: await exportedBy(address, from) };
    },
    empty: async () => {
      before = (await writtenBy(address)).count;
    },
    keeps: true,
    close: () => loam.close(),
  };
}

async function nodeRed(): Promise<Chain & { versions: Record<string, string> }> {
  const [store, mosquitto] = await Promise.all([influx(), startMosquitto()]);
  await store.createDatabase(NODE_RED_DATABASE);
  const node = await startNodeRed({ mqttPort: mosquitto.port, influxPort: store.port, database: NODE_RED_DATABASE });
  return {
    name: 'node-red',
    url: mosquitto.url,
    connections: signedInAs(benchFarm(CONNECTIONS).connections),
    stored: (from) => storedInInflux(store, NODE_RED_DATABASE, from),
    empty: async () => {
      await store.query(NODE_RED_DATABASE, 'DROP MEASUREMENT readings');
    },
    keeps: false,
    versions: { mosquitto: mosquitto.version, 'node-red': node.version },
    close: async () => {
      await node.close();
      await mosquitto.close();
    },
  };
}

function contender(chain: Chain, total: number): Contender {
  return { name: chain.name, measure: () => measure(chain, total) };
}

async function measure(chain: Chain, total: number): Promise<Run> {
  const times = steppedTimes();
  const from = times.first;
  let begun = performance.now();
  const report = await runLoad(
    {
      url: chain.url,
      connections: chain.connections,
      pace: { loop: 'closed' },
      qos: 1,
      inFlight: IN_FLIGHT,
      times,
      metrics: 3,
      total,
      graceMs: 60_000,
    },
    {
      onBegin: () => {
        begun = performance.now();
      },
    },
  );
  const acknowledgedAt = performance.now();
  if (report.acknowledged !== total) throw new Error(`${chain.name} acknowledged ${report.acknowledged} of ${total}`);
  const { count, at } = await settled(chain, from, total);
  if (chain.keeps && count !== total)
    throw new Error(`${chain.name} acknowledged ${total} readings and stored ${count}`);
  await chain.empty();
  return {
    figure: count / ((at - begun) / 1_000),
    beside: {
      acknowledgedPerSecond: report.perSecond,
      storedAfterTheLastAcknowledgementMs: Math.max(0, at - acknowledgedAt),
      lost: total - count,
    },
  };
}

/** Asks until the store shows all, or nothing more comes; resolves with what it shows and when the last came. */
async function settled(chain: Chain, from: number, total: number): Promise<Stored> {
  let last: Stored = { count: -1, at: performance.now() };
  for (;;) {
    const now = await chain.stored(from, total);
    if (now.count > last.count) last = now;
    if (last.count >= total || now.at - last.at > STILL_MS) return last;
    await pause(ASK_MS);
  }
}
