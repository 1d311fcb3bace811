import { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import { DEAD_LOG_LIMITS } from '../backbone/ports/log.ts';
import { clock, steadyFrom } from '../core/clock.ts';
import { type Health, healthOf, type Part } from '../core/lifecycle.ts';
import { Networks } from '../core/networks.ts';
import { withDeadline } from '../core/timing.ts';
import { AccountKeeper } from './account/account-keeper.ts';
import { DeadLetterService } from './dead-letters/service.ts';
import { EventRecorder } from './events/event-recorder.ts';
import { History } from './history/history.ts';
import { ConnectionBudget } from './http/connection-budget.ts';
import { type Listening, listen } from './http/listen.ts';
import { type Access, hostProblem } from './http/origin.ts';
import { HttpProblem } from './http/problem.ts';
import type { Reply } from './http/reply.ts';
import type { Request, RequestHead } from './http/request.ts';
import { findRoute, type Route } from './http/router.ts';
import { HEALTH, HttpServer, MAX_BODY, type RequestPlan } from './http/server.ts';
import { StaticApp } from './http/static.ts';
import { secureApp } from './http/tls.ts';
import { loadUws, type TemplatedApp } from './http/uws.ts';
import type { WritesListener } from './live/feed/feed.ts';
import { Live } from './live/live.ts';
import type { GatewayOptions } from './options.ts';
import { allRoutes } from './routes.ts';
import { SessionList } from './sign-in/session-list.ts';
import { SignInSessions } from './sign-in/sessions.ts';
import { Figures } from './system/figures.ts';
import { Heard } from './system/last-minute.ts';

export type { GatewayOptions };

/**
 * The dashboard gateway: HTTP and WebSocket in front of the store, the live log and the registry, and the browser app's files.
 * It keeps nothing that another gateway could not rebuild.
 */
export class Gateway implements Part {
  readonly name = 'gateway';
  private readonly options: GatewayOptions;
  private readonly now: () => number;
  private readonly passed: () => number;
  private readonly publicUrl: URL | undefined;
  private readonly sessions: SignInSessions;
  private readonly list: SessionList;
  private readonly live: Live;
  private readonly history: History;
  private readonly letters: DeadLetterService;
  private readonly figures: Figures;
  private readonly events: EventRecorder;
  private readonly account: AccountKeeper;
  private readonly replays: BatchEntrance;
  private readonly imports: BatchEntrance;
  private readonly http: HttpServer;
  private readonly loaded = loadUws();
  private readonly app: TemplatedApp;
  private routes: readonly Route[] = [];
  private files: StaticApp | undefined;
  private listening: Listening | undefined;
  private budget: ConnectionBudget | undefined;

  /** Throws ConfigInvalid when no native uWebSockets.js runs here, or the files for TLS cannot be used. */
  constructor(options: GatewayOptions) {
    const { registry, sessionKey, adminToken, log } = options;
    this.options = options;
    this.now = options.now ?? clock.now;
    this.passed = options.now ?? clock.passed;
    const { now, passed } = this;
    this.list = new SessionList({
      log: options.sessions,
      logger: log,
      now: steadyFrom({ now, passed }),
      metrics: options.metrics,
    });
    const { list } = this;
    this.sessions = new SignInSessions({ key: sessionKey, adminToken, registry, list, now, passed });
    const { uws } = this.loaded;
    this.publicUrl = options.publicUrl === undefined ? undefined : new URL(options.publicUrl);
    const trusted = options.trustedProxies ?? new Networks();
    const access: Access = { tls: options.tls !== undefined, trusted, publicUrl: this.publicUrl };
    this.app = options.tls ? secureApp(uws, options.tls) : uws.App();
    this.http = new HttpServer({
      plan: (head) => this.plan(head),
      access,
      userOf: async (head) => (await this.sessions.caller(head))?.user.name,
      log,
      metrics: options.metrics,
      passed,
    });
    const hearsAll = () => this.live.health().every(({ ok }) => ok);
    const heard = new Heard(now, passed);
    this.figures = new Figures(options.metrics, heard, passed);
    this.history = new History({ store: options.store, hearsAll, metrics: options.metrics, now, passed });
    const { live, account = {}, metrics } = options;
    this.replays = new BatchEntrance({ name: 'replay', live, beatMs: account.beatMs });
    this.imports = new BatchEntrance({ name: 'import', live, beatMs: account.beatMs });
    this.account = new AccountKeeper({ ...account, live, log, metrics, passed });
    const { replays } = this;
    this.letters = new DeadLetterService({ ...options, replays, limits: DEAD_LOG_LIMITS, logger: log, now });
    this.events = new EventRecorder({ ...options, logger: log, now });
    this.live = new Live({
      ...options,
      uws,
      sessions: this.sessions,
      list,
      access,
      writes: allOf(this.history, heard, this.events.overwritten, this.account),
      now,
      passed,
    });
  }

  /** The port in use, once started. */
  get port(): number {
    if (!this.listening) throw new Error('the gateway does not listen');
    return this.listening.port;
  }

  /** Where the gateway answers, once started. */
  get url(): string {
    const { host } = this.options;
    const scheme = this.options.tls ? 'https' : 'http';
    return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  /** Every route of the HTTP interface, once started. */
  get addresses(): readonly Pick<Route, 'method' | 'path'>[] {
    return this.routes;
  }

  /** Resolves when requests are answered. Rejects with ConfigInvalid when the port cannot be used. */
  async start(): Promise<void> {
    const { host, port, webFolder, log } = this.options;
    this.files = await StaticApp.load(webFolder);
    await this.list.start();
    this.routes = await this.makeRoutes();
    this.live.attach(this.app);
    this.http.attach(this.app);
    const { uws } = this.loaded;
    this.listening = await listen(uws, this.app, host, port);
    this.keepConnections(this.listening);
    await this.live.start();
    await this.letters.start();
    this.events.start();
    this.account.start();
    await Promise.all([this.replays.start(), this.imports.start()]);
    this.figures.start();
    log.info({ url: this.url, uws: this.loaded.from, app: this.files.built }, 'gateway listens');
  }

  /**
   * Accepts no new connections, closes the WebSockets, and stops following the logs. Resolves when every open request
   * has been answered; rejects when that takes longer than `deadlineMs`.
   */
  async stop(deadlineMs: number): Promise<void> {
    if (this.budget) this.budget.stop();
    else this.listening?.close();
    this.listening = undefined;
    this.figures.stop();
    const quiet = Promise.all([this.live.stop(), this.letters.stop(), this.http.drain()]);
    try {
      await withDeadline(quiet, deadlineMs, 'answers were still under way');
      await withDeadline(this.events.stop(), deadlineMs, 'events were still being written');
      await withDeadline(this.list.stop(), deadlineMs, 'sessions were still being written');
      await Promise.all([this.replays.stop(), this.imports.stop(), this.account.stop()]);
    } finally {
      this.live.close();
      this.history.close();
    }
  }

  /** What the gateway itself depends on. */
  health(): Health[] {
    const { store, queue } = this.options;
    const own = [healthOf('store', store.state), healthOf('queue', queue.state)];
    return [...own, ...this.live.health(), ...this.letters.health(), ...this.account.health()];
  }

  private keepConnections(listening: Listening): void {
    const { connections, host, log, metrics } = this.options;
    if (!connections) return;
    const again = () => listen(this.loaded.uws, this.app, host, listening.port);
    const budget = new ConnectionBudget({ ...connections, listen: again, log });
    this.budget = budget;
    metrics?.gauge('loam_http_shut', '1 while no HTTP connections are taken, for want of descriptors', () =>
      budget.isShut ? 1 : 0,
    );
    metrics?.counts('loam_http_connections_total', 'Times that HTTP had all its connections', () => ({
      full: budget.timesShut,
    }));
    budget.start(listening);
  }

  private makeRoutes(): Promise<Route[]> {
    const { sessions, list, history, letters, figures, events, imports, now, passed } = this;
    const farmNow = (farm: string) => this.live.farmNow(farm);
    return allRoutes({
      ...this.options,
      sessions,
      list,
      history,
      letters,
      figures,
      events,
      imports,
      farmNow,
      now,
      passed,
    });
  }

  private plan(head: RequestHead): RequestPlan {
    const problem = HEALTH.has(head.path) ? undefined : hostProblem(head, this.publicUrl);
    if (problem) throw problem;
    const found = findRoute(this.routes, head);
    if (!found) return { name: 'files', maxBody: MAX_BODY, answer: (request) => this.answerWithFile(request) };
    const { route, params } = found;
    return {
      name: route.path,
      maxBody: route.maxBody ?? MAX_BODY,
      answer: (request) => route.handler(request, params),
    };
  }

  private answerWithFile(request: Request): Reply {
    const ofInterface = request.path === '/ws' || request.path === '/api' || request.path.startsWith('/api/');
    if (ofInterface || !this.files) throw new HttpProblem('not-found');
    return this.files.answer(request);
  }
}

function allOf(...listeners: readonly WritesListener[]): WritesListener {
  return {
    prepare: async (epoch) => {
      for (const listener of listeners) await listener.prepare?.(epoch);
    },
    begin: (epoch) => {
      for (const listener of listeners) listener.begin(epoch);
    },
    wrote: (entry, offset, isNews) => {
      for (const listener of listeners) listener.wrote(entry, offset, isNews);
    },
  };
}
