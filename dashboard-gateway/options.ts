import type { ClockHistory } from '../backbone/clocks/clock-history.ts';
import type { Commands } from '../backbone/commands/commands.ts';
import type { RefusalBook } from '../backbone/events/refusal-book.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import type { RegistryPort } from '../backbone/ports/registry.ts';
import type { Store } from '../backbone/ports/store.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Networks } from '../core/networks.ts';
import type { SecretKey } from '../core/secret-key.ts';
import type { AccountKeeperOptions } from './account/account-keeper.ts';
import type { ConnectionShare } from './http/connection-budget.ts';
import type { TlsFiles } from './http/tls.ts';
import type { MqttEndpoint } from './sensors/mqtt-endpoint.ts';
import type { FirstSignIn } from './sign-in/first-sign-in.ts';
import type { Throttle } from './sign-in/throttle.ts';

/** What a gateway is made with. */
export interface GatewayOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly store: Store;
  readonly live: Log;
  readonly dead: Log;
  /** What became of the clocks by which publishes were received. Absent: receipts are taken as they are. */
  readonly clocks?: ClockHistory | undefined;
  /** The event log: values that overwrite others, and what people did. */
  readonly events: Log;
  /** The log of sessions. */
  readonly sessions: Log;
  /** Where refused sign-ins are written down, and where it is read who was refused. */
  readonly refusals: RefusalBook;
  /** The queue that replayed dead letters and imports are published to. */
  readonly queue: Queue;
  /** Commands to sensors. */
  readonly commands: Commands;
  readonly registry: RegistryPort;
  /** Certificate and key in PEM, for HTTPS. Absent: plain HTTP. */
  readonly tls?: TlsFiles | undefined;
  /** Where people reach it: browsers that name another host are refused. Absent: none is. */
  readonly publicUrl?: string | undefined;
  /** Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. Absent: none. */
  readonly trustedProxies?: Networks;
  /** Where sensors reach the broker, as the dashboard shows it. */
  readonly mqtt: () => MqttEndpoint;
  /** Keeps tokens that devices came with. */
  readonly secretKey: SecretKey;
  /** Signs sessions; the same on every gateway. */
  readonly sessionKey: string;
  /** Slows down sign-ins; a new one when left out. */
  readonly throttle?: Throttle;
  /** A request with this bearer token is admin of every farm; for commands on the machine. Absent: no such token is accepted. */
  readonly adminToken?: string | undefined;
  /** The built browser app. */
  readonly webFolder: string;
  /** The health of the whole process, for `/readyz`. */
  readonly health: () => readonly Health[];
  readonly firstSignIn?: FirstSignIn;
  /** Where the gateway shows its metrics. Absent: nowhere. */
  readonly metrics?: Metrics;
  /** Most WebSockets that one address may have. */
  readonly maxSocketsOfAddress?: number;
  /** How long a tick of the live part lasts at least, ms. */
  readonly shortestTickMs?: number;
  /** How often rights and sensors' statuses are checked when no event causes it, ms. */
  readonly checkMs?: number;
  /** How the account of batches is kept. */
  readonly account?: AccountKeeperOptions;
  /** What HTTP may use of the process's descriptors. Absent: as many as there are. */
  readonly connections?: ConnectionShare | undefined;
  readonly log: Logger;
  /** The clock for times (Unix ms) and for durations. Absent: the machine's clock for times, and its monotonic clock for durations. */
  readonly now?: () => number;
}
