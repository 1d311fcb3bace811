import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { readThings } from '../../telemetry/registry/file.ts';
import { Hosts } from '../services/hosts.ts';
import { startHttpProxy } from '../services/http-proxy.ts';
import { startInflux } from '../services/influx.ts';
import { type PostgresServer, startPostgres } from '../services/postgres.ts';
import { startProxy } from '../services/proxy.ts';
import { startRabbit } from '../services/rabbitmq.ts';
import { temporaryFolder } from '../services/wait.ts';
import type { Fault } from './fault.ts';
import { RegistryEdits } from './registry-edits.ts';
import { Role } from './role.ts';
import { DATABASE, FARM, farmOf, type Stage } from './stage.ts';

const MQTT_PORT = 1883;

/** What can be broken when every role has a host of its own. */
export interface HostsPlace {
  readonly hosts: Hosts;
  readonly postgres: PostgresServer;
  readonly edits: RegistryEdits;
}

/**
 * Gateway, workers and broker, each on a host of its own with a data folder of its own. RabbitMQ, InfluxDB and PostgreSQL,
 * which has the registry, are behind proxies on this one. For root on Linux.
 */
export async function hostsStage({
  sensors,
  workers,
}: {
  sensors: number;
  workers: number;
}): Promise<Stage & { readonly hosts: HostsPlace }> {
  const names = ['gateway', ...Array.from({ length: workers }, (_, i) => `worker-${i + 1}`), 'broker'];
  const hosts = await Hosts.open(names);
  const folder = await temporaryFolder();
  const { registry, connections } = await farmOf(folder, sensors);
  const [rabbit, influx, postgres] = await Promise.all([startRabbit(), startInflux(), startPostgres()]);
  const amqp = await startProxy(rabbit.port, '127.0.0.1', hosts.address);
  const http = await startHttpProxy(influx.port, hosts.address);
  const toPostgres = await startProxy(postgres.port, '127.0.0.1', hosts.secondAddress);
  const database = await postgres.createDatabase();
  const { things } = readThings(await readFile(registry, 'utf8'));
  const roles: Record<string, Role> = {};
  const added = things.map(({ kind, id, thing }) => ({ kind, id, value: thing }));
  const edits = await RegistryEdits.open(FARM, database, added, () => Object.values(roles));

  const url = `amqp://guest:guest@${hosts.address}:${amqp.port}`;
  const env = {
    LOAM_REGISTRY: database.replace(`127.0.0.1:${postgres.port}`, `${hosts.secondAddress}:${toPostgres.port}`),
    LOAM_QUEUE: url,
    LOAM_LOG: url,
    LOAM_STORE: `influx://${hosts.address}:${http.port}/${DATABASE}`,
    LOAM_MQTT_HOST: '0.0.0.0',
    LOAM_MQTT_PORT: String(MQTT_PORT),
    LOAM_HTTP_HOST: '0.0.0.0',
    LOAM_OPS_HOST: '0.0.0.0',
  };
  for (const name of names) {
    const [role = ''] = name.split('-');
    const data = join(folder, name);
    await mkdir(data);
    roles[name] = new Role(name, [role], { ...env, LOAM_DATA: data }, hosts.host(name));
    // One after another: the first makes the queue, and a process that finds it half made would have to wait.
    await roles[name].ready();
  }
  return {
    name: 'hosts',
    folder,
    mqttUrl: `mqtt://${hosts.host('broker').address}:${MQTT_PORT}`,
    connections,
    roles,
    servers: { rabbits: [rabbit], down: new Set(), detour: { port: undefined }, amqp, influx, http },
    hosts: { hosts, postgres, edits },
    settled: async () => await openInfluxStore(influx.storeUrl(DATABASE)),
    close: async () => {
      for (const role of Object.values(roles)) await role.end();
      await edits.close();
      for (const proxy of [amqp, http, toPostgres]) await proxy.close();
      await Promise.all([influx.close(), rabbit.close(), postgres.close()]);
      await hosts.close();
    },
  };
}

/** Faults of the registry's server, and of the network between the hosts. */
export function hostFaults({ hosts, postgres }: HostsPlace): Fault[] {
  const lasting = (name: string, begin: () => Promise<void>, end: () => Promise<void>): Fault => ({
    name,
    happen: async (holdMs) => {
      await begin();
      await delay(holdMs);
      await end();
    },
  });
  const { secondAddress } = hosts;
  return [
    lasting('kill -9 PostgreSQL', postgres.kill, postgres.start),
    lasting('PostgreSQL stopped', postgres.stop, postgres.start),
    lasting('PostgreSQL frozen', postgres.freeze, postgres.thaw),
    ...[...hosts.all.keys()].flatMap((name) => [
      lasting(
        `PostgreSQL cut from the host of ${name}`,
        () => hosts.cut(name, secondAddress),
        () => hosts.mend(name, secondAddress),
      ),
      lasting(
        `host of ${name} unplugged`,
        () => hosts.unplug(name),
        () => hosts.plugIn(name),
      ),
    ]),
  ];
}
