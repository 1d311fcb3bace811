import { isDeepStrictEqual } from 'node:util';
import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import type { Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Health, Part } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { LabelValues, type Metrics } from '../../core/metrics.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import type { Publish } from '../../telemetry/batch.ts';
import { placeOf } from '../../telemetry/publish-place.ts';
import type { Registry, RegistryView } from '../../telemetry/registry/registry.ts';
import type { Source as Description } from '../../telemetry/registry/sources.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import { ConnectionReports } from '../auth/connection-reports.ts';
import type { Identity } from '../auth/identity.ts';
import { RefusedPublishes } from '../auth/refusals.ts';
import { MOST_TOPIC, Rights } from '../auth/rights.ts';
import { newCounters } from '../counters.ts';
import { PublishBatcher } from '../ingest/publish-batcher.ts';
import { Receipts } from '../ingest/receipts.ts';
import type { TakenFate, TakenPublish } from '../ingest/taken-publish.ts';
import { TakenPublishes } from '../ingest/taken-publishes.ts';
import { type BrokerLimits, DEFAULT_BROKER_LIMITS } from '../limits.ts';
import { clientIdOf, SOURCE_TIMEOUTS, type SourceTimeouts } from './connect-options.ts';
import { leftWords, SourceClient, sessionName } from './source.ts';
import type { SourceSession } from './source-session.ts';
import { SourceSessions } from './source-sessions.ts';

export interface SourcesOptions {
  readonly queue: Queue;
  readonly dead: Log;
  readonly registry: RegistryView;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Where is kept what is known of the sessions at the sources. Absent: only as long as the process lives. */
  readonly known?: Log;
  readonly timeouts?: SourceTimeouts;
  /** Gives the times of receipt. All parts of a process that take publishes share one. Absent: one of its own. */
  readonly receipts?: Receipts;
  /** Tells the keys of LOAM_SECRET_KEY. Absent, or while there is none: sources with a sealed password are off. */
  readonly secretKeys?: () => SecretKeys | undefined;
  /** Largest payload that is taken whole, bytes; the usual one when left out. */
  readonly payloadBytes?: number | undefined;
  /** Told of each publish of which only the beginning is kept. Must not throw. */
  readonly refused?: (refusal: RefusalNote) => void;
  /** Numbers their batches, and says so. Absent: they are numbered, and nobody is told. */
  readonly entrance?: BatchEntrance;
}

const PRUNE_MS = 250;
/** Most publishes with QoS 2 of a source without their PUBREL; at one more its connection is made anew. */
const MOST_QOS2 = 1_000;
/** The share of the time for stopping that may be spent on waiting for the queue. */
const DRAIN_SHARE = 0.7;

interface RunningSource {
  readonly description: Description;
  readonly source: SourceClient;
}

/**
 * Every source in the registry, each with its own connection. Its publishes go to the queue like those of sensors.
 * A change of the registry starts, stops or restarts only the sources that it concerns.
 */
export class Sources implements Part {
  readonly name = 'sources';
  private readonly options: SourcesOptions;
  private readonly counts = newCounters();
  private readonly running = new Map<string, RunningSource>();
  private readonly rights: Rights;
  private readonly refusals: RefusedPublishes;
  private readonly reports: ConnectionReports;
  private readonly limits: BrokerLimits;
  private readonly batcher: PublishBatcher;
  private readonly entrance: BatchEntrance;
  private readonly receipts: Receipts;
  private readonly sessions: SourceSessions;
  /** The newest retained message of each topic that is under way. */
  private readonly retained = new Map<string, Promise<void>>();
  private readonly known = { count: 0, most: DEFAULT_BROKER_LIMITS.knownPublishes };
  private readonly count: (source: string, event: string) => void;
  private unwatch = () => {};
  private pruner: NodeJS.Timeout | undefined;

  constructor(options: SourcesOptions) {
    const { queue, dead, registry, metrics, log, refused: note = () => {} } = options;
    const { payloadBytes = DEFAULT_BROKER_LIMITS.payloadBytes, secretKeys = () => undefined } = options;
    this.options = options;
    this.limits = { ...DEFAULT_BROKER_LIMITS, payloadBytes };
    this.reports = new ConnectionReports({ note, registry, secretKeys, limits: this.limits });
    this.receipts = options.receipts ?? new Receipts({ log, metrics });
    this.sessions = new SourceSessions(options.known, log);
    this.rights = new Rights(registry, DEFAULT_BROKER_LIMITS.unregisteredSensors);
    this.refusals = new RefusedPublishes(dead, registry, this.counts, log, metrics);
    this.entrance = options.entrance ?? new BatchEntrance({ name: 'source' });
    this.batcher = new PublishBatcher(queue, this.limits, this.counts, log, metrics, this.entrance);
    const events = metrics.counter('loam_source_events_total', 'What other brokers have brought, by source and event', [
      'source',
      'event',
    ]);
    const names = new LabelValues();
    this.count = (source, event) => events.inc({ source: names.of(source), event });
    metrics.gauge('loam_sources', 'Sources in the registry', () => this.running.size);
    metrics.gauge('loam_sources_connected', 'Sources that are connected', () => this.connected);
  }

  /** Each source is `optional`: one that is down is shown, but does not take the process out of service. */
  health(): Health[] {
    return [...this.running.values()].flatMap(({ source }) => source.health());
  }

  /** Resolves at once: the sources connect afterwards, however long that takes. */
  async start(): Promise<void> {
    const { registry } = this.options;
    await this.entrance.start();
    this.unwatch = registry.watch((changes) => {
      this.rights.registryChanged(changes);
      if (changes.some(({ kind }) => kind === 'source')) this.follow(registry.current());
    });
    this.sessions.start();
    this.follow(registry.current());
    void this.sayLeft();
    this.refusals.start();
    this.pruner = setInterval(() => this.batcher.prune(), PRUNE_MS);
  }

  /** Waits for the queue's confirms, so that those publishes are not sent again, and closes every connection. */
  async stop(deadlineMs: number): Promise<void> {
    this.unwatch();
    for (const { source } of this.running.values()) source.freeze();
    await this.batcher.drain(deadlineMs * DRAIN_SHARE);
    const stopped = [...this.running.values()].map(({ source }) => source.stop());
    this.running.clear();
    await Promise.all([...stopped, this.refusals.stop()]);
    await this.sessions.stop();
    clearInterval(this.pruner);
    this.batcher.close();
    await this.entrance.stop();
  }

  private get connected(): number {
    return [...this.running.values()].filter(({ source }) => source.connected).length;
  }

  /** Says which sources were taken out while Loam was down. Their address and password are not known any more. */
  private async sayLeft(): Promise<void> {
    const { log, registry } = this.options;
    const left = await this.sessions.forgetExcept((id) => registry.current().sources.has(id));
    for (const session of left)
      log.warn({ event: 'source_left', source: session.source }, leftWords(session, 'Loam was down then'));
  }

  private follow({ sources }: Registry): void {
    const clientIds = new Set([...sources.values()].map(clientIdOf));
    for (const [id, { description, source }] of this.running) {
      if (isDeepStrictEqual(withoutClock(sources.get(id)), withoutClock(description))) continue;
      this.running.delete(id);
      // A session is left for good only when no other source can have it.
      void (clientIds.has(clientIdOf(description)) ? source.stop() : source.leave());
    }
    for (const [id, description] of sources) {
      if (this.running.has(id)) continue;
      const source = new SourceClient(description, {
        log: this.options.log,
        timeouts: this.options.timeouts ?? SOURCE_TIMEOUTS,
        secretKeys: this.options.secretKeys ?? (() => undefined),
        count: (event) => this.count(id, event),
        limits: this.limits,
        takenBy: () => this.takenBy(description),
        sessions: this.sessions,
      });
      this.running.set(id, { description, source });
      source.start();
    }
  }

  private takenBy(description: Description): TakenPublishes {
    const { receipts, counts: counters } = this;
    const offer = (publish: TakenPublish, payload: Buffer) => this.offer(description, publish, payload);
    const { known } = this;
    // `SourceConnection` bounds what is on its way. The session at the source outlives every connection.
    return new TakenPublishes(
      { counters, budget: UNBOUNDED, receipts, mostQos2: MOST_QOS2, known, holdsQos0: true, offer },
      true,
    );
  }

  /** A retained message that is the last one of its topic once more is no news: it is acknowledged, and counted. */
  private offer(description: Description, publish: TakenPublish, payload: Buffer): void {
    const { id } = description;
    const { topic } = publish;
    const session = this.sessions.of(id, sessionName(description));
    if (!publish.isRetained) {
      void this.keep(description, publish, payload, session);
      return;
    }
    // Where filters overlap it comes several times at once.
    const key = `${id}/${topic}`;
    const before = this.retained.get(key) ?? Promise.resolve();
    const kept = before.then(async () => {
      if (!session.wasLast(topic, payload)) {
        await this.keep(description, publish, payload, session);
        return;
      }
      this.count(id, 'retained_again');
      publish.settle('kept');
    });
    this.retained.set(key, kept);
    void kept.then(() => {
      if (this.retained.get(key) === kept) this.retained.delete(key);
    });
  }

  /** Resolves when the publish is in the queue or among the dead letters, or is given up. Never rejects. */
  private async keep(
    { id, farm }: Description,
    publish: TakenPublish,
    payload: Buffer,
    session: SourceSession,
  ): Promise<void> {
    const { topic } = publish;
    const fate = await this.fateOf(id, farm, publish, payload);
    if (fate === 'kept' && session.saw(topic, payload)) this.count(id, 'topic_forgotten');
    publish.settle(fate);
  }

  private async fateOf(id: string, farm: string, publish: TakenPublish, payload: Buffer): Promise<TakenFate> {
    const { topic, received, sent } = publish;
    // A source publishes for the sensors that its topics name, as a bridge does.
    const bridge = { sensor: id, farm, role: 'bridge', secretHash: '' } as const;
    if (this.rights.passesOver(bridge, topic)) {
      this.count(id, 'notice');
      return 'kept';
    }
    const place = placeOf(this.options.registry.current(), farm, id, topic);
    const named = place !== undefined && (place.sensor !== undefined || place.isOfMany);
    const verdict = named ? this.rights.publish(bridge, topic) : NOT_AUTHORISED;
    if (verdict.may) {
      const { field, sensor } = verdict;
      const via = { kind: 'source', id } as const;
      const whole = { farm, field, sensor, topic, payload, received, via };
      if (sent !== undefined) return await this.keepBeginning(id, whole, bridge, sent);
      const fate = await this.batcher.add(whole, publish);
      this.count(id, fate);
      return fate;
    }
    this.count(id, verdict.reason);
    const refused = {
      farm,
      field: UNASSIGNED,
      sensor: id,
      topic: topic.slice(0, MOST_TOPIC),
      received,
      via: { kind: 'source', id },
    } as const;
    await this.refusals.keep({ ...refused, payload }, verdict.reason, bridge, sent);
    return 'kept';
  }

  /** It would be as long when it comes again: it is acknowledged, and its beginning kept under the name of its sensor. */
  private async keepBeginning(id: string, beginning: Publish, bridge: Identity, sent: number): Promise<TakenFate> {
    this.count(id, 'too_large');
    this.reports.overlong('', beginning, sent);
    await this.refusals.keep(beginning, 'too_large', bridge, sent);
    return 'kept';
  }
}

/** What a connection is made by: how the times of its messages are read is no part of it. */
function withoutClock(description: Description | undefined): object | undefined {
  return description && { ...description, clock: undefined };
}

const UNBOUNDED = { give: () => {} };
const NOT_AUTHORISED = { may: false, reason: 'not_authorised' } as const;
