import { Broker } from '../broker/broker.ts';
import { Receipts } from '../broker/ingest/receipts.ts';
import { DEFAULT_BROKER_LIMITS } from '../broker/limits.ts';
import { Sources } from '../broker/sources/sources.ts';
import type { Config } from '../core/config.ts';
import type { Health, House } from '../core/lifecycle.ts';
import { processMetrics } from '../core/metrics.ts';
import { Gateway } from '../dashboard-gateway/gateway.ts';
import { mqttEndpoint } from '../dashboard-gateway/sensors/mqtt-endpoint.ts';
import { createFirstSignIn } from '../dashboard-gateway/sign-in/first-sign-in.ts';
import { DemoSensors } from '../simulators/demo.ts';
import type { Registry, User } from '../telemetry/registry.ts';
import { Worker } from '../workers/worker.ts';
import { demoSecretsPath, prepareDataFolder, readCredentials } from './data-folder.ts';
import { ensureRegistry } from './first-registry.ts';
import {
  holdCommands,
  holdDeadLog,
  holdLiveLog,
  holdQueue,
  holdRegistry,
  holdStore,
  holdTrialsLog,
  holdValidate,
} from './ports.ts';
import { brokerSettings, countBroker, countCommands, downlinkOf, gatewaySettings, startOps } from './roles.ts';
import type { Running } from './run.ts';

/** `loam up`: every role in one process. Ports first, then from the screen to the sensor, so that no room sends to a closed one. */
export async function startUp(house: House, running: Running): Promise<void> {
  const { config, log, disks } = running;
  await prepareDataFolder(config);
  const isFirstStart = await ensureRegistry(config);
  const registry = await holdRegistry(house, config, log);
  const validate = await holdValidate(house, config, registry);
  const store = await holdStore(house, running);
  const live = await holdLiveLog(house, running);
  const dead = await holdDeadLog(house, running);
  const openTrials = await holdTrialsLog(house, running);
  const queue = await holdQueue(house, running);
  const commands = await holdCommands(house, running);

  const health = (): Health[] => [
    ...broker.health(),
    ...worker.health(),
    ...gateway.health(),
    commands.health(),
    ...sources.health(),
    registry.health(),
    ...disks.health(),
  ];
  const newcomer = adminWithoutPassword(registry.current());
  const firstSignIn = newcomer ? createFirstSignIn({ user: newcomer.name }) : undefined;
  const metrics = processMetrics();
  const gateway = new Gateway({
    ...(await gatewaySettings(config, log)),
    mqtt: () =>
      config.mqttAddress
        ? mqttEndpoint(config.mqttAddress, 0)
        : { host: config.mqttHost, port: broker.port, tls: false },
    store,
    live,
    dead,
    commands,
    queue,
    registry,
    health,
    metrics,
    log,
    ...(firstSignIn ? { firstSignIn } : {}),
  });
  const worker = new Worker({ queue, store, live, dead, openTrials, validate, log, metrics });
  const receipts = new Receipts({ limits: DEFAULT_BROKER_LIMITS, log, metrics });
  const broker = new Broker({ ...brokerSettings(config), queue, dead, registry, log, metrics, receipts });
  const sources = new Sources({ queue, dead, registry, metrics, log, receipts });
  countBroker(metrics, broker);
  countCommands(metrics, commands);
  disks.count(metrics);
  await house.start(gateway);
  await house.start(worker);
  await house.start(downlinkOf(broker, commands, registry, { config, log }));
  await house.start(broker);
  if (config.sources) await house.start(sources);
  await startOps(house, config, log, health, metrics);

  const sensors = config.demo ? await demoSensors(config, registry.current()) : [];
  if (sensors.length > 0) {
    const url = `mqtt://${reachable(config.mqttHost)}:${broker.port}`;
    await house.start(new DemoSensors({ url, sensors, backfillHours: isFirstStart ? 24 : 0, log }));
  }
  const scheme = config.httpsCert === undefined ? 'http' : 'https';
  const address = `${scheme}://${reachable(config.httpHost)}:${gateway.port}/${firstSignIn ? `#token=${firstSignIn.token}` : ''}`;
  process.stdout.write(
    banner(address, firstSignIn !== undefined, `${config.mqttHost}:${broker.port}`, config, registry.current()),
  );
}

function banner(address: string, isFirstSignIn: boolean, mqtt: string, config: Config, registry: Registry): string {
  const lines = [
    '',
    `  Loam is running. Open ${address}`,
    isFirstSignIn ? '  (signs you in once, from this machine, within 15 minutes; then choose a password)' : '',
    registry.users.size === 0 ? '  Nobody can sign in yet: loam user add NAME --role admin' : '',
    `  Sensors publish to ${mqtt} over MQTT: loam sensor add --help`,
    `  Everything is kept in ${config.data}. Ctrl-C stops.`,
  ];
  return `${lines.filter((line, i) => i === 0 || line !== '').join('\n')}\n\n`;
}

/** The first admin, as long as no admin has a password. */
function adminWithoutPassword(registry: Registry): User | undefined {
  const admins = [...registry.users.values()].filter((user) => Object.values(user.farms).includes('admin'));
  return admins.some((admin) => admin.password !== undefined) ? undefined : admins[0];
}

/** The demo sensors whose secrets are kept and which nobody has removed from the registry. */
async function demoSensors(config: Config, registry: Registry) {
  const kept = (await readCredentials(demoSecretsPath(config))) ?? [];
  return kept.filter((credential) => registry.sensors.has(credential.id));
}

/** An address at which a client on this machine reaches a server that listens on `host`. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
