import type { Log } from '../../backbone/ports/log.ts';
import type { Store } from '../../backbone/ports/store.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { Access } from '../http/origin.ts';
import type { TemplatedApp, UwsModule } from '../http/uws.ts';
import type { SessionList } from '../sign-in/session-list.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { LiveCounters } from './counters.ts';
import type { WritesListener } from './feed/feed.ts';
import { LiveHub } from './hub.ts';
import { showLive } from './metrics.ts';
import { LiveSockets } from './sockets/sockets.ts';
import { RefusedCounts } from './state/refused-counts.ts';
import type { FarmNow } from './state/sensor-status.ts';

const SPEED_CHECK_MS = 100;
const CHECK_MS = 1_000;

export interface LiveOptions {
  readonly uws: UwsModule;
  readonly store: Store;
  readonly live: Log;
  /** Absent: refused messages are not counted. */
  readonly dead?: Log | undefined;
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly list: Pick<SessionList, 'watchEnds'>;
  readonly access: Access;
  readonly metrics?: Metrics | undefined;
  /** Hears of everything that is written. */
  readonly writes?: WritesListener | undefined;
  readonly maxSocketsOfAddress?: number | undefined;
  readonly shortestTickMs?: number | undefined;
  /** How often rights and statuses are checked when no event causes it, ms. */
  readonly checkMs?: number | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
  readonly log: Logger;
}

/** The live part of a gateway: the hub that makes frames, the sockets that get them, and the timers of both. */
export class Live {
  private readonly options: LiveOptions;
  private readonly hub: LiveHub;
  private readonly sockets: LiveSockets;
  private readonly refused: RefusedCounts | undefined;
  private readonly endings: (() => void)[] = [];
  private app: TemplatedApp | undefined;

  constructor(options: LiveOptions) {
    const { dead, now, log, metrics } = options;
    this.options = options;
    const counters = new LiveCounters();
    this.refused = dead && new RefusedCounts(dead, now, log);
    const publish = (topic: string, text: string) => void this.app?.publish(topic, text);
    this.hub = new LiveHub({ ...options, publish, refused: this.refused, counters });
    this.sockets = new LiveSockets({ ...options, hub: this.hub, counters });
    if (metrics) showLive(metrics, counters, this.hub, this.sockets);
  }

  /** Answers WebSocket handshakes at `/ws` of `app`. */
  attach(app: TemplatedApp): void {
    this.app = app;
    this.sockets.attach(app);
  }

  /** Resolves after the first attempt to follow each log, also when it failed: further attempts are made until one succeeds. */
  async start(): Promise<void> {
    await Promise.all([this.hub.feed.start(), this.refused?.tail.start()]);
    this.watch();
  }

  /** Closes every socket. Resolves when the logs are no longer followed. */
  async stop(): Promise<void> {
    for (const end of this.endings.splice(0)) end();
    this.sockets.close();
    await Promise.all([this.hub.feed.stop(), this.refused?.tail.stop()]);
  }

  /** Frees what is in memory. The object must not be used afterwards. */
  close(): void {
    this.hub.close();
  }

  health(): Health[] {
    return [...this.hub.feed.health(), ...(this.refused?.tail.health() ?? [])];
  }

  /** A farm's sensors as they are now. Rejects with StoreUnavailable. */
  farmNow(farm: string): Promise<FarmNow> {
    return this.hub.farmNow(farm);
  }

  private watch(): void {
    const { registry, list, checkMs = CHECK_MS } = this.options;
    const unwatchEnds = list.watchEnds(() => this.sockets.checkRights());
    const unwatch = registry.watch((changes) => {
      // Only these say who may see what.
      if (changes.some(({ kind }) => kind === 'user' || kind === 'farm')) this.sockets.checkRights();
      this.hub.registryChanged(changes);
    });
    const speed = setInterval(() => {
      this.sockets.checkSpeed();
      this.hub.serveDue();
    }, SPEED_CHECK_MS);
    const check = setInterval(() => {
      this.sockets.checkRights();
      this.refused?.expire();
      this.hub.check();
    }, checkMs);
    this.endings.push(
      unwatch,
      unwatchEnds,
      () => clearInterval(speed),
      () => clearInterval(check),
    );
  }
}
