import { isEmbedded, registryFile } from '../backbone/open.ts';
import type { Config } from '../core/config.ts';
import type { Lifecycle } from '../core/lifecycle.ts';
import { removeLeftovers } from '../core/replace-file.ts';
import { createFirstSignIn } from '../dashboard-gateway/sign-in/first-sign-in.ts';
import { DemoSensors } from '../simulators/demo.ts';
import type { Registry } from '../telemetry/registry/registry.ts';
import type { User } from '../telemetry/registry/things.ts';
import { demoSecretsPath, lockDataFolder, prepareDataFolder, readCredentials } from './data-folder.ts';
import { ensureRegistry, fillRegistry } from './first-registry.ts';
import { contextOf, EVERY_ROLE, startRoles } from './roles.ts';
import { assertRoomToStart } from './room-to-start.ts';
import type { RunContext } from './run.ts';
import { whereKept } from './where-kept.ts';

/** `loam up`: every role in one process, and for an easy first start the demo farm and a link that signs in. */
export async function startUp(lifecycle: Lifecycle, running: RunContext): Promise<void> {
  const { config, log } = running;
  await prepareDataFolder(config);
  await lifecycle.hold(
    'data folder',
    () => lockDataFolder(config),
    (release) => release(),
  );
  await removeLeftovers(config.data, 0);
  await assertRoomToStart(running);
  const isNewFile = await ensureRegistry(config);
  const context = contextOf(lifecycle, running, EVERY_ROLE);
  const registry = await context.ports.registry();
  const isFirstStart = isNewFile || (await fillRegistry(config, registry));
  if (isOfOneMachine(config)) await (await context.ports.secretKey()).makeFirst();
  const newcomer = adminWithoutPassword(registry.current());
  const firstSignIn = newcomer ? createFirstSignIn({ user: newcomer.name, from: config.firstSignInFrom }) : undefined;
  await startRoles({ ...context, firstSignIn });

  const mqttPort = context.addresses.mqtt?.().port;
  const sensors = config.demo ? await demoSensors(config, registry.current()) : [];
  if (sensors.length > 0) {
    const url = `mqtt://${reachable(config.mqttHost)}:${mqttPort}`;
    await lifecycle.start(new DemoSensors({ url, sensors, backfillHours: isFirstStart ? 24 : 0, log }));
  }
  const scheme = config.httpsCert === undefined ? 'http' : 'https';
  const httpPort = context.addresses.http?.().port;
  const address = `${scheme}://${reachable(config.httpHost)}:${httpPort}/${firstSignIn ? `#token=${firstSignIn.token}` : ''}`;
  process.stdout.write(
    banner(address, firstSignIn !== undefined, `${config.mqttHost}:${mqttPort}`, config, registry.current()),
  );
}

/** Whether no broker and no gateway can run elsewhere, which would need the same secret key. */
function isOfOneMachine({ queue, log, registry }: Config): boolean {
  return isEmbedded(queue) && isEmbedded(log) && registryFile(registry) !== undefined;
}

function banner(address: string, isFirstSignIn: boolean, mqtt: string, config: Config, registry: Registry): string {
  const from = config.firstSignInFrom.isEmpty ? 'from this machine' : 'from where LOAM_FIRST_SIGN_IN_FROM allows';
  const lines = [
    '',
    `  Loam is running. Open ${address}`,
    isFirstSignIn ? `  (signs you in once, ${from}, within 15 minutes; then choose a password)` : '',
    registry.users.size === 0 ? '  Nobody can sign in yet: loam user add NAME --role admin' : '',
    `  Sensors publish to ${mqtt} over MQTT: loam sensor add --help`,
    `  ${whereKept(config)} Ctrl-C stops.`,
  ];
  return `${lines.filter((line, i) => i === 0 || line !== '').join('\n')}\n\n`;
}

/** The first admin of the registry; undefined when any admin has a password, or when there is no admin. */
function adminWithoutPassword(registry: Registry): User | undefined {
  const admins = [...registry.users.values()].filter((user) => Object.values(user.farms).includes('admin'));
  return admins.some((admin) => admin.password !== undefined) ? undefined : admins[0];
}

/** The demo sensors whose secrets are kept and which nobody has removed from the registry. */
async function demoSensors(config: Config, registry: Registry) {
  const kept = (await readCredentials(demoSecretsPath(config))) ?? [];
  return kept.filter((credential) => registry.sensor(credential.farm, credential.id));
}

/** An address at which a client on this machine reaches a server that listens on `host`. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
