import { fileURLToPath } from 'node:url';
import { isEmbedded } from '../backbone/open.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { PACKAGE_ROOT } from '../core/package-root.ts';
import { Gateway } from '../dashboard-gateway/gateway.ts';
import { mqttEndpoint } from '../dashboard-gateway/sensors/mqtt-endpoint.ts';
import type { PreparedRole, RoleContext } from './context.ts';
import { adminToken, sessionKey } from './data-folder.ts';

/** Where `npm run build` puts the browser app. */
export const WEB_FOLDER = fileURLToPath(new URL('dist/dashboard/', PACKAGE_ROOT));

/** The gateway role: serves dashboards from store and live log; replayed dead letters and imports go to the queue. */
export async function prepareGateway(context: RoleContext): Promise<PreparedRole> {
  const { config, log, ports, metrics, addresses, health, firstSignIn } = context;
  const registry = await ports.registry();
  const secretKey = await ports.secretKey();
  const store = await ports.store();
  const live = await ports.liveLog();
  const dead = await ports.deadLog();
  const events = await ports.eventLog();
  const sessions = await ports.sessionsLog();
  const refusals = await ports.refusals();
  const queue = await ports.queue();
  const commands = await ports.commands();
  const gateway = new Gateway({
    host: config.httpHost,
    port: config.httpPort,
    tls: tlsFiles(config),
    publicUrl: config.publicUrl,
    trustedProxies: config.trustedProxies,
    mqtt: () => mqttOf(context),
    secretKey,
    sessionKey: await sessionKey(config),
    adminToken: await adminTokenIfKept(config, log),
    webFolder: WEB_FOLDER,
    ...(firstSignIn ? { firstSignIn } : {}),
    store,
    live,
    dead,
    clocks: await ports.clocks(),
    events,
    sessions,
    refusals,
    queue,
    commands,
    registry,
    health,
    // Embedded parts are of this process: a worker that is silent has ended.
    account: { ...(isEmbedded(config.queue) ? { mostHeldMs: 0 } : {}), isGapless: isEmbedded(config.log) },
    connections: context.descriptors && {
      most: context.descriptors.http,
      others: () => context.connections.mqtt?.() ?? 0,
    },
    metrics,
    log,
  });
  addresses.http = () => ({ host: config.httpHost, port: gateway.port });
  return {
    parts: [gateway],
    health: () => [...gateway.health(), commands.health(), ...registry.health(), ...secretKey.health()],
    says: () => ({ url: gateway.url }),
  };
}

/**
 * Where sensors reach the broker: at the address of the settings; else at the broker in this process; else at this
 * machine and the port of the settings.
 */
function mqttOf({ config, addresses }: RoleContext) {
  const here = config.mqttAddress === undefined ? addresses.mqtt?.() : undefined;
  return here ? { ...here, tls: false } : mqttEndpoint(config.mqttAddress, config.mqttPort);
}

/**
 * The admin token; undefined when the data folder cannot be written, as in a container. The gateway works without it:
 * only the `loam` commands need the token.
 */
async function adminTokenIfKept(config: Config, log: Logger): Promise<string | undefined> {
  try {
    return await adminToken(config);
  } catch (error) {
    if (!(error instanceof ConfigInvalid)) throw error;
    log.warn(`commands cannot talk to this gateway, for LOAM_TOKEN is not set: ${error.message}`);
    return undefined;
  }
}

function tlsFiles({ httpsCert: cert, httpsKey: key }: Config) {
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert === undefined && key === undefined) return undefined;
  const missing = cert === undefined ? 'LOAM_HTTPS_CERT' : 'LOAM_HTTPS_KEY';
  throw new ConfigInvalid(missing, `${missing}: is not set; LOAM_HTTPS_CERT and LOAM_HTTPS_KEY belong together`);
}
