import type { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import type { ClockHistory } from '../backbone/clocks/clock-history.ts';
import type { Commands } from '../backbone/commands/commands.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { SecretKey } from '../core/secret-key.ts';
import type { RegistryEditor, RegistryView } from '../telemetry/registry/registry.ts';
import { commandRoutes } from './commands/routes.ts';
import { deadLetterRoutes } from './dead-letters/routes.ts';
import type { DeadLetterService } from './dead-letters/service.ts';
import type { EventRecorder } from './events/event-recorder.ts';
import { eventRoutes } from './events/routes.ts';
import { exportRoutes } from './export/routes.ts';
import { farmQuotaRoutes } from './farms/quota-routes.ts';
import { farmRoutes } from './farms/routes.ts';
import type { History } from './history/history.ts';
import { historyRoutes } from './history/routes.ts';
import type { Route } from './http/router.ts';
import { importRoutes } from './import/routes.ts';
import type { FarmNow } from './live/state/sensor-status.ts';
import { RegistryEditing } from './registry/editing.ts';
import type { MqttEndpoint } from './sensors/mqtt-endpoint.ts';
import { sensorRoutes } from './sensors/routes.ts';
import type { FirstSignIn } from './sign-in/first-sign-in.ts';
import { KnownBrowsers } from './sign-in/known-browsers.ts';
import { Passwords } from './sign-in/passwords.ts';
import { signInRoutes } from './sign-in/routes.ts';
import type { SessionList } from './sign-in/session-list.ts';
import { sessionRoutes } from './sign-in/session-routes.ts';
import type { SignInSessions } from './sign-in/sessions.ts';
import { Throttle } from './sign-in/throttle.ts';
import type { Figures } from './system/figures.ts';
import { healthRoutes } from './system/health.ts';
import { systemRoutes } from './system/routes.ts';

/** What the routes need to know and to do. */
export interface RouteParts {
  readonly registry: RegistryView & RegistryEditor;
  readonly sessions: SignInSessions;
  readonly list: SessionList;
  readonly store: Store;
  readonly queue: Queue;
  readonly imports: BatchEntrance;
  readonly commands: Commands;
  readonly history: History;
  readonly letters: DeadLetterService;
  readonly figures: Figures;
  readonly events: EventRecorder;
  readonly clocks?: ClockHistory | undefined;
  readonly health: () => readonly Health[];
  /** Signs the cookies of known browsers; the same on every gateway. */
  readonly sessionKey: string;
  readonly firstSignIn?: FirstSignIn | undefined;
  /** Slows down sign-ins; a new one when left out. */
  readonly throttle?: Throttle | undefined;
  /** A farm's sensors as they are now. Rejects with StoreUnavailable. */
  readonly farmNow: (farm: string) => Promise<FarmNow>;
  readonly mqtt: () => MqttEndpoint;
  readonly secretKey: SecretKey;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
}

/** Every route of the HTTP interface. */
export async function allRoutes(parts: RouteParts): Promise<Route[]> {
  const passwords = await Passwords.create(parts.registry);
  const browsers = new KnownBrowsers(parts.sessionKey, parts.now);
  const editing = new RegistryEditing(parts.registry, parts.log);
  return [
    ...signInRoutes({ ...parts, passwords, throttle: parts.throttle ?? new Throttle(parts.passed), browsers }),
    ...sessionRoutes(parts),
    ...farmRoutes(parts),
    ...farmQuotaRoutes({ ...parts, editing, commandsWaiting: (farm) => parts.commands.waitingIn(farm) }),
    ...sensorRoutes({ ...parts, editing }),
    ...commandRoutes(parts),
    ...historyRoutes(parts),
    ...exportRoutes(parts),
    ...deadLetterRoutes(parts),
    ...eventRoutes(parts),
    ...systemRoutes(parts),
    ...importRoutes(parts),
    ...healthRoutes(parts.health),
  ];
}
