import { isEmbedded } from '../backbone/open.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid } from '../core/errors.ts';
import type { Lifecycle } from '../core/lifecycle.ts';
import { processMetrics } from '../core/metrics.ts';
import { OpsServer } from '../core/ops-server.ts';
import { removeLeftovers } from '../core/replace-file.ts';
import { SETTINGS } from '../core/settings.ts';
import { prepareBroker } from './broker.ts';
import type { PreparedRole, RoleContext, RoleName } from './context.ts';
import { divideDescriptors, sayDescriptors } from './descriptors.ts';
import { prepareGateway } from './gateway.ts';
import { portsOf } from './ports.ts';
import { assertRoomToStart } from './room-to-start.ts';
import type { RunContext } from './run.ts';
import { ServerPolicies } from './server-policies.ts';
import { prepareWorker } from './worker.ts';

interface ProcessRole {
  /** Opens its ports and makes its parts. Rejects with ConfigInvalid. */
  readonly prepare: (context: RoleContext) => Promise<PreparedRole>;
  /** The ports that must be servers when the role runs alone: embedded adapters belong to one process. */
  readonly shares: readonly ('queue' | 'log' | 'store')[];
  /** With a spool, the role can do its work while queue and logs are away. */
  readonly spools?: true;
}

/**
 * Every role, in the order in which they start: each one is there before the role that sends to it. They are stopped in
 * the reverse order. `loam up` is all of them in one process.
 */
const ROLES: Readonly<Record<RoleName, ProcessRole>> = {
  gateway: { prepare: prepareGateway, shares: ['queue', 'log', 'store'] },
  worker: { prepare: prepareWorker, shares: ['queue', 'log', 'store'] },
  broker: { prepare: prepareBroker, shares: ['queue', 'log'], spools: true },
};
/** A file that was being written for so long is nobody's any more. */
const LEFTOVER_MS = 60_000;
export const EVERY_ROLE: readonly RoleName[] = ['gateway', 'worker', 'broker'];

/** `loam gateway`, `loam worker` or `loam broker`: one role in a process of its own. Rejects with ConfigInvalid. */
export async function startRole(name: RoleName, lifecycle: Lifecycle, running: RunContext): Promise<void> {
  needServers(name, running.config);
  // Another process may have the same data folder, and be writing in it.
  await removeLeftovers(running.config.data, LEFTOVER_MS);
  await assertRoomToStart(running);
  const context = contextOf(lifecycle, running, [name]);
  await startRoles(context);
  running.log.info(Object.assign({}, ...context.prepared.map(({ says }) => says?.())), `${name} is ready`);
}

/** What the roles `names` share in one process. No port is opened yet. */
export function contextOf(lifecycle: Lifecycle, running: RunContext, names: readonly RoleName[]): RoleContext {
  const metrics = processMetrics();
  const ports = portsOf(
    lifecycle,
    running,
    metrics,
    names.every((name) => ROLES[name].spools),
  );
  const prepared: PreparedRole[] = [];
  const policies = new ServerPolicies(running.config, { log: running.log, metrics });
  // A disk that holds only a spool is optional: while the queue can be reached, a broker works without that disk.
  const health = () => [
    ...prepared.flatMap((role) => role.health()),
    ...running.disks.health(ports.spooled),
    ...ports.gaps(),
    ...policies.health(),
  ];
  const shared = { lifecycle, names, ports, metrics, prepared, policies, health };
  return {
    ...running,
    ...shared,
    descriptors: divideDescriptors(running.config, names),
    connections: {},
    addresses: {},
  };
}

/** Opens the ports of a context's roles, then starts the roles and the port for operators. Rejects with ConfigInvalid. */
export async function startRoles(context: RoleContext): Promise<void> {
  const { lifecycle, names, prepared, policies, disks, metrics, config, log, health } = context;
  for (const name of names) prepared.push(await ROLES[name].prepare(context));
  disks.count(metrics);
  for (const { parts } of prepared) for (const part of parts) await lifecycle.start(part);
  await lifecycle.start(policies);
  const ops = new OpsServer({ host: config.opsHost, port: config.opsPort, health, metrics });
  await lifecycle.start(ops);
  log.info({ ops: `${config.opsHost}:${ops.port}` }, 'answering /healthz, /readyz and /metrics');
  sayDescriptors(context);
}

/** Throws ConfigInvalid when a role that runs alone was given an adapter whose files belong to one process. */
function needServers(name: RoleName, config: Config): void {
  for (const port of ROLES[name].shares) {
    const url = config[port];
    if (!isEmbedded(url)) continue;
    const setting = SETTINGS[port].variable;
    const server = port === 'store' ? 'influx://…' : 'amqp://…';
    throw new ConfigInvalid(
      setting,
      `${setting}: ${url} belongs to one process, so \`loam ${name}\` cannot share it: give ${server}, or run \`loam up\``,
    );
  }
}
