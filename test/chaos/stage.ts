import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import type { Audit } from '../../cli/audit-compare.ts';
import { hashSecret, newSecret } from '../../core/secrets.ts';
import type { LoadConnection } from '../../simulators/load/plan.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { type HttpProxy, startHttpProxy } from '../services/http-proxy.ts';
import { type InfluxServer, startInflux } from '../services/influx.ts';
import { type Proxy as LineProxy, startProxy } from '../services/proxy.ts';
import { type RabbitServer, startRabbit, startRabbitCluster } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';
import type { DiskPlace } from './disk-faults.ts';
import type { HostsPlace } from './hosts-stage.ts';
import { Role } from './role.ts';
import type { SetClock } from './role-faults.ts';

export const FARM = 'north';
/** Of InfluxDB. */
export const DATABASE = 'chaos';

/** A Loam that runs, on whatever parts, and what can be broken of it. */
export interface Stage {
  readonly name: string;
  readonly folder: string;
  readonly mqttUrl: string;
  readonly connections: readonly LoadConnection[];
  readonly roles: Readonly<Record<string, Role>>;
  readonly servers?: Servers;
  /** Of a sensor that the load leaves alone. */
  readonly spare?: LoadConnection;
  /** Where libfaketime is installed, and was asked for. */
  readonly clock?: SetClock;
  /** Of a stage whose data folder is on a disk that can be broken. */
  readonly place?: DiskPlace;
  /** Of a stage whose roles are on hosts of their own. */
  readonly hosts?: HostsPlace;
  /** Compares a promise file with what the running Loam says that it has stored; where that is not asked, the store is looked into. */
  audit?(promises: string): Promise<Audit>;
  /** Stops Loam in good order and opens the store to look into it. */
  settled(): Promise<Store>;
  close(): Promise<void>;
}

/** The servers of a stage that has some. */
export interface Servers {
  /** One, or the nodes of a cluster. */
  readonly rabbits: readonly RabbitServer[];
  /** Nodes that are down at the moment are left out by the balancer in front of them. */
  readonly down: Set<RabbitServer>;
  /** A port on loopback that new connections to RabbitMQ go to instead, while there is one. */
  readonly detour: { port: number | undefined };
  /** In front of RabbitMQ. */
  readonly amqp: LineProxy;
  readonly influx: InfluxServer;
  /** In front of InfluxDB. */
  readonly http: HttpProxy;
}

/** A registry with `count` sensors on one farm, and the connections that speak for them. `rates`: its line about the limits of a sensor. */
export async function farmOf(
  folder: string,
  count: number,
  rates = '',
): Promise<{ registry: string; connections: LoadConnection[] }> {
  const sensors = Array.from({ length: count }, (_, i) => ({ id: `s${i}`, secret: newSecret() }));
  const registry = join(folder, 'registry.yaml');
  await writeFile(
    registry,
    `${rates}
farms:
  - { id: ${FARM}, name: North Farm, timezone: Europe/Berlin }
fields:
  - { id: f1, farm: ${FARM}, name: Orchard }
sensors:
${sensors.map(({ id, secret }) => `  - { id: ${id}, farm: ${FARM}, field: f1, name: ${id}, secret: ${hashSecret(secret)} }`).join('\n')}
metrics: []
users: []
`,
  );
  const connections = sensors.map(({ id, secret }) => ({
    clientId: id,
    username: id,
    password: secret,
    sensors: [{ farm: FARM, sensor: id, topic: telemetryTopic(FARM, id) }],
  }));
  return { registry, connections };
}

/** `loam up` on its own files and DuckDB, with `count` sensors. `rates`: as in ServersOptions. */
export async function embeddedStage(count: number, rates?: string): Promise<Stage> {
  const folder = await temporaryFolder();
  const { registry, connections } = await farmOf(folder, count, rates);
  const port = await freePort();
  const up = new Role('up', ['up', '--no-demo'], {
    LOAM_DATA: folder,
    LOAM_REGISTRY: registry,
    LOAM_MQTT_PORT: String(port),
    LOAM_HTTP_PORT: '0',
    LOAM_OPS_PORT: '0',
  });
  await up.ready();
  return {
    name: 'embedded',
    folder,
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    connections,
    roles: { up },
    settled: async () => {
      await up.stop();
      return await openDuckdbStore(join(folder, 'readings.duckdb'));
    },
    close: () => up.end(),
  };
}

export interface ServersOptions {
  readonly sensors: number;
  /** RabbitMQ nodes. */
  readonly nodes: number;
  readonly workers: number;
  /** The registry's line about the limits of a sensor, where they are not to be the usual ones. */
  readonly rates?: string;
  /** The clocks of the roles can be set. */
  readonly clock?: boolean;
}

/** Broker, workers and gateway as processes of their own, on a RabbitMQ (or a cluster) and an InfluxDB of their own, each behind a proxy. */
export async function serversStage(options: ServersOptions): Promise<Stage> {
  const folder = await temporaryFolder();
  const { registry, connections } = await farmOf(folder, options.sensors + 1, options.rates);
  const spare = connections.pop();
  const fake = options.clock ? await fakeClock(folder) : undefined;
  const [{ rabbits, closeRabbits }, influx] = await Promise.all([rabbitsOf(options.nodes), startInflux()]);
  const down = new Set<RabbitServer>();
  const detour: Servers['detour'] = { port: undefined };
  let turn = 0;
  const amqp = await startProxy(() => {
    if (detour.port !== undefined) return detour.port;
    const standing = rabbits.filter((rabbit) => !down.has(rabbit));
    turn += 1;
    return standing[turn % Math.max(standing.length, 1)]?.port ?? rabbits[0]?.port ?? 0;
  });
  const http = await startHttpProxy(influx.port);
  const port = await freePort();
  const url = `amqp://guest:guest@127.0.0.1:${amqp.port}`;
  const env = {
    LOAM_DATA: folder,
    LOAM_REGISTRY: registry,
    LOAM_QUEUE: url,
    LOAM_LOG: url,
    LOAM_STORE: `influx://127.0.0.1:${http.port}/${DATABASE}`,
    LOAM_MQTT_PORT: String(port),
    LOAM_HTTP_PORT: '0',
    LOAM_OPS_PORT: '0',
    ...fake?.env,
  };
  const roles: Record<string, Role> = {};
  for (const name of ['gateway', ...Array.from({ length: options.workers }, (_, i) => `worker-${i + 1}`), 'broker']) {
    const [role = ''] = name.split('-');
    roles[name] = new Role(name, [role], env);
    // One after another: the first makes the queue, and a process that finds it half made would have to wait.
    await roles[name].ready();
  }
  const end = async () => {
    for (const role of Object.values(roles)) await role.end();
  };
  return {
    name: options.nodes === 1 ? 'servers' : 'cluster',
    folder,
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    connections,
    roles,
    servers: { rabbits, down, detour, amqp, influx, http },
    ...(spare && { spare }),
    ...(fake && { clock: fake.set }),
    settled: async () => await openInfluxStore(influx.storeUrl(DATABASE)),
    close: async () => {
      await end();
      await amqp.close();
      await http.close();
      await influx.close();
      await closeRabbits();
    },
  };
}

async function rabbitsOf(nodes: number): Promise<{ rabbits: RabbitServer[]; closeRabbits: () => Promise<void> }> {
  if (nodes > 1) {
    const cluster = await startRabbitCluster(nodes);
    return { rabbits: [...cluster.nodes], closeRabbits: () => cluster.close() };
  }
  const rabbit = await startRabbit();
  return { rabbits: [rabbit], closeRabbits: () => rabbit.close() };
}

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';

/** What makes a process believe a clock that can be set; undefined where libfaketime is not installed. */
async function fakeClock(folder: string): Promise<{ env: Record<string, string>; set: SetClock } | undefined> {
  if (!existsSync(FAKETIME)) return undefined;
  const file = join(folder, 'clock');
  const set = async (seconds: number) => {
    await writeFile(`${file}.next`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    await rename(`${file}.next`, file);
    // Processes look into it once a second.
    await delay(2_000);
  };
  await set(0);
  const env = {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
  return { env, set };
}
