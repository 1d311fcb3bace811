import { type IPublishPacket, MqttClient } from 'mqtt';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import type { Source as Description } from '../../telemetry/registry/sources.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';
import type { PacketLimits } from '../mqtt/overlong-publish.ts';
import { clientIdOf, optionsOf, type SourceTimeouts } from './connect-options.ts';
import { SourceConnection } from './connection.ts';
import { leastFilters, overlapping } from './filters.ts';
import { connectLine, type LinePayload, SourceLine } from './source-line.ts';
import type { SourceSession } from './source-session.ts';
import type { SourceSessions } from './source-sessions.ts';
import { atMostOnce, SubscriptionRefused, subscribeTo, unsubscribe } from './subscribing.ts';

const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 60_000;
/** After a connection that lasted so long, the pauses between attempts begin anew. */
const GOOD_MS = 60_000;
/** How long a source that was taken out of the registry may take to end its subscriptions. */
const LEAVE_MS = 2_000;

export interface SourceParts {
  readonly log: Logger;
  readonly timeouts: SourceTimeouts;
  readonly secretKeys: () => SecretKeys | undefined;
  /** Makes what takes the publishes of one session at the source. */
  readonly takenBy: () => TakenPublishes;
  readonly count: (event: SourceEvent) => void;
  /** Largest payload that is taken whole, and largest packet of another kind. */
  readonly limits: PacketLimits;
  /** What is known of the sessions at all sources. */
  readonly sessions: SourceSessions;
}

/** Connections `connected`, `lost`, or `not_allowed` to subscribe; publishes `received` and `acknowledged`. */
export type SourceEvent = 'connected' | 'lost' | 'not_allowed' | 'received' | 'acknowledged';

/**
 * The connection to one other broker that readings come from. Its session is kept by that broker (clean=0), and it
 * subscribes at QoS 1. A publish is acknowledged when it is in the queue, so after any failure the other broker sends
 * the rest again.
 *
 * mqtt.js hands over one publish at a time, and acknowledges it when the handler calls back. Many must be on their way
 * to the queue at once. So the handler calls back early with an error, which keeps mqtt.js from acknowledging. The
 * PUBACK is written here, in order.
 */
export class SourceClient {
  readonly description: Description;
  private readonly parts: SourceParts;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private down: string | undefined = 'not connected yet';
  private frozen = false;
  private client: MqttClient | undefined;
  private session: SourceSession;
  /** The publishes of the session that the source keeps for Loam. */
  private taken: TakenPublishes;

  constructor(description: Description, parts: SourceParts) {
    this.description = description;
    this.parts = parts;
    this.taken = parts.takenBy();
    this.session = parts.sessions.of(description.id, sessionName(description));
  }

  get connected(): boolean {
    return this.down === undefined;
  }

  /** Whether it is connected; and, only when something can be lost there, that it delivers at most once. */
  health(): Health[] {
    const { id, farm, topics } = this.description;
    const only = { kind: 'sources', farm };
    const health = { name: `source ${id}`, ok: this.connected, optional: true, only } as const;
    const lossy = atMostOnce(topics, this.session);
    const delivery = { name: `delivery of source ${id}`, ok: false, optional: true } as const;
    return [
      this.down === undefined ? health : { ...health, why: this.down },
      ...(lossy.length === 0
        ? []
        : [{ ...delivery, why: lossyWords(lossy), only: { kind: 'delivery of sources', farm } }]),
    ];
  }

  start(): void {
    this.running = this.run();
  }

  /** Takes no more publishes; acknowledgements are still sent. */
  freeze(): void {
    this.frozen = true;
  }

  /** Takes no more publishes. Resolves when the connection is closed. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** As `stop`; before, it ends its subscriptions: the other broker is to collect nothing more for Loam. */
  async leave(): Promise<void> {
    const { client, session } = this;
    try {
      if (!client?.connected) throw new Error(this.down ?? 'not connected');
      await withDeadline(unsubscribe(client, [...session.filters.keys()], session), LEAVE_MS, 'it does not answer');
    } catch (error) {
      this.parts.log.warn({ event: 'source_left', source: session.source }, leftWords(session, explain(error)));
    }
    await this.stop();
    await this.parts.sessions.forget(session);
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { id } = this.description;
    await this.parts.sessions.ready(signal);
    for (let attempt = 0; !signal.aborted; attempt++) {
      const begun = clock.passed();
      const why = await this.connection().catch(explain);
      if (signal.aborted) break;
      if (this.connected) this.parts.count('lost');
      if (clock.passed() - begun > GOOD_MS) attempt = 0;
      if (why !== this.down) this.parts.log.warn({ event: 'source_lost', source: id }, `source ${id}: ${why}`);
      this.down = why;
      await pause(FIRST_PAUSE_MS + backoff(attempt, FIRST_PAUSE_MS, MOST_PAUSE_MS), signal);
    }
    this.taken.clear();
    this.down = 'stopped';
  }

  /** Resolves with the reason when an open connection has closed. Rejects when it failed, or could not be made. */
  private async connection(): Promise<string> {
    const { url } = this.description;
    const { limits, count, timeouts, secretKeys } = this.parts;
    const { secrets, options } = await optionsOf(this.description, timeouts, secretKeys(), this.stopping.signal);
    const alive = atMostEvery((timeouts.keepaliveS * 1_000) / 4, () => {
      client.sendPing();
      client.reschedulePing(true);
    });
    const line = new SourceLine(connectLine(url, secrets), { url, limits, alive });
    const client = new MqttClient(() => line, options);
    this.client = client;
    const connection = new SourceConnection(client, () => count('acknowledged'));
    const receive = (packet: IPublishPacket, callback: (error?: Error) => void) =>
      this.receive(connection, packet, line.payloadOf(bytesOf(packet.payload)), callback);
    client.handleMessage = (packet, callback) => (packet.qos === 2 ? callback() : receive(packet, callback));
    // With QoS 2 mqtt.js asks here before its PUBREC, and hands over the message only at the PUBREL.
    client.options.customHandleAcks = (_topic, _payload, packet: IPublishPacket, done) =>
      packet.qos === 2 ? receive(packet, () => done(0)) : done(0);
    client.on('packetreceive', ({ cmd, messageId = 0 }) => {
      if (cmd === 'pubrel') this.taken.release(connection, messageId);
    });
    client.once('connect', ({ sessionPresent }) => {
      // The source has forgotten the session, so its packet ids begin anew: none of them stands for an earlier publish.
      if (!sessionPresent) {
        this.taken.clear();
        this.taken = this.parts.takenBy();
      }
      this.taken.begin(connection);
    });
    const end = () => client.end(true);
    this.stopping.signal.addEventListener('abort', end, { once: true });
    try {
      return await this.untilClosed(client, line);
    } finally {
      this.stopping.signal.removeEventListener('abort', end);
      this.taken.end(connection);
      client.end(true);
    }
  }

  private untilClosed(client: MqttClient, line: SourceLine): Promise<string> {
    const { url } = this.description;
    return new Promise((resolve, reject) => {
      client.on('error', reject);
      line.on('error', reject);
      client.on('close', () => resolve(`the connection to ${url} has ended`));
      client.on('connect', ({ sessionPresent }) => {
        this.subscribe(client, sessionPresent).catch(reject);
      });
    });
  }

  private async subscribe(client: MqttClient, sessionPresent: boolean): Promise<void> {
    const { id, url } = this.description;
    const { session } = this;
    const topics = leastFilters(this.description.topics);
    const { count, log, sessions } = this.parts;
    if (!sessionPresent) session.unsubscribed([...session.filters.keys()]);
    try {
      await subscribeTo(client, topics, session, () => sessions.keep(session));
    } catch (error) {
      if (!(error instanceof SubscriptionRefused)) throw error;
      count('not_allowed');
      throw new Error(`not allowed to subscribe: ${url} refuses ${error.message}`);
    }
    this.down = undefined;
    count('connected');
    log.info({ event: 'source_connected', source: id }, `source ${id}: readings are taken from ${url}`);
    const twice = overlapping(topics);
    if (twice) log.warn({ event: 'source_overlap', source: id }, `source ${id}: ${overlapWords(twice)}`);
    const lossy = atMostOnce(topics, session);
    if (lossy.length > 0) log.warn({ event: 'source_at_most_once', source: id }, `source ${id}: ${lossyWords(lossy)}`);
  }

  private receive(
    connection: SourceConnection,
    { topic, qos, dup, retain, messageId = 0 }: IPublishPacket,
    { payload, sent }: LinePayload,
    callback: (error?: Error) => void,
  ): void {
    // Without the callback mqtt.js hands over no more publishes.
    if (this.frozen) return;
    this.parts.count('received');
    connection.begin(payload.length);
    // A copy: the payload is a part of a larger piece of memory.
    const publish = { topic, payload: Buffer.from(payload), qos, dup, retain, messageId };
    // These go one by one. Who subscribes at QoS 1 gets them only from an older subscription of its session.
    if (qos === 2) connection.whenKept(() => callback());
    this.taken.take(connection, sent === undefined ? publish : { ...publish, sent }, payload.length);
    if (qos !== 2) connection.whenRoom(() => callback(LATER));
  }
}

function bytesOf(payload: string | Buffer): Buffer {
  return typeof payload === 'string' ? Buffer.from(payload) : payload;
}

/** Calls `act` once in `everyMs` at most. */
function atMostEvery(everyMs: number, act: () => void): () => void {
  let at = clock.passed();
  return () => {
    if (clock.passed() - at < everyMs) return;
    at = clock.passed();
    act();
  };
}

const LATER = new Error('acknowledged later');

/** Names a session at another broker. */
export function sessionName(description: Description): string {
  return `${description.url} ${clientIdOf(description)}`;
}

function lossyWords(topics: readonly string[]): string {
  return `it grants QoS 0 for ${topics.join(', ')}: what it sends while Loam is away, or while the line is down, is lost`;
}

function overlapWords([one, other]: readonly [string, string]): string {
  return `topics ${one} and ${other} overlap: some brokers, Mosquitto since 2.1 among them, send what both match twice, and it is stored twice if it has no time of its own`;
}

/** That the session of a source that was taken out may stay. */
export function leftWords({ source, session }: SourceSession, why: string): string {
  const [url, clientId] = session.split(' ');
  return `source ${source} was taken out, and its subscriptions could not be ended: ${why}; ${url} may go on keeping messages for the client id ${clientId}`;
}
