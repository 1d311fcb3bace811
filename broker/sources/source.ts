import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { clock } from '../../core/clock.ts';
import { secretVariable } from '../../core/config.ts';
import { ConfigInvalid, explain, SecretUnopened } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import type { Source as Description } from '../../telemetry/registry/sources.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';
import { SourceConnection } from './connection.ts';
import { sourceFile } from './source-file.ts';
import type { SourceSession } from './source-session.ts';
import type { SourceSessions } from './source-sessions.ts';
import { atMostOnce, SubscriptionRefused, subscribeTo, unsubscribe } from './subscribing.ts';

/** How long a source may take to answer CONNECT, and after how many seconds of silence it gets a ping. */
export interface SourceTimeouts {
  readonly connectMs: number;
  readonly keepaliveS: number;
}
const SOURCE_TIMEOUTS: SourceTimeouts = { connectMs: 10_000, keepaliveS: 30 };
const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 60_000;
/** After a connection that lasted so long, the pauses between attempts begin anew. */
const GOOD_MS = 60_000;
/** Most bytes of one packet. A source that sends a larger one is disconnected before it is buffered. */
const MOST_PACKET_BYTES = 1024 ** 2;
/** How long a source that was taken out of the registry may take to end its subscriptions. */
const LEAVE_MS = 2_000;

export interface SourceParts {
  readonly log: Logger;
  readonly patience?: SourceTimeouts | undefined;
  readonly secretKeys: () => SecretKeys | undefined;
  /** Makes what takes the publishes of one session at the source. */
  readonly takenBy: () => TakenPublishes;
  readonly count: (event: SourceEvent) => void;
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
    const options = await optionsOf(this.description, this.parts, this.stopping.signal);
    const client = mqtt.connect(this.description.url, options);
    this.client = client;
    const connection = new SourceConnection(client, () => this.parts.count('acknowledged'));
    client.handleMessage = (packet, callback) =>
      packet.qos === 2 ? callback() : this.receive(connection, packet, callback);
    // With QoS 2 mqtt.js asks here before its PUBREC, and hands over the message only at the PUBREL.
    client.options.customHandleAcks = (_topic, _payload, packet: IPublishPacket, done) =>
      packet.qos === 2 ? this.receive(connection, packet, () => done(0)) : done(0);
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
      return await this.untilClosed(client);
    } finally {
      this.stopping.signal.removeEventListener('abort', end);
      this.taken.end(connection);
      client.end(true);
    }
  }

  private untilClosed(client: MqttClient): Promise<string> {
    const { url } = this.description;
    return new Promise((resolve, reject) => {
      client.on('error', reject);
      let bytes = 0;
      client.on('packetreceive', () => {
        bytes = 0;
      });
      client.stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MOST_PACKET_BYTES)
          reject(new Error(`${url} sends a packet of more than ${MOST_PACKET_BYTES} bytes`));
      });
      client.on('close', () => resolve(`the connection to ${url} has ended`));
      client.on('connect', ({ sessionPresent }) => {
        this.subscribe(client, sessionPresent).catch(reject);
      });
    });
  }

  private async subscribe(client: MqttClient, sessionPresent: boolean): Promise<void> {
    const { id, url, topics } = this.description;
    const { session } = this;
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
    const lossy = atMostOnce(topics, session);
    if (lossy.length > 0) log.warn({ event: 'source_at_most_once', source: id }, `source ${id}: ${lossyWords(lossy)}`);
  }

  private receive(
    connection: SourceConnection,
    { topic, payload, qos, dup, retain, messageId = 0 }: IPublishPacket,
    callback: (error?: Error) => void,
  ): void {
    // Without the callback mqtt.js hands over no more publishes.
    if (this.frozen) return;
    this.parts.count('received');
    connection.begin(payload.length);
    const publish = { topic, payload: Buffer.from(payload), qos, dup, retain, messageId };
    // These go one by one. Who subscribes at QoS 1 gets them only from an older subscription of its session.
    if (qos === 2) connection.whenKept(() => callback());
    this.taken.take(connection, publish, payload.length);
    if (qos !== 2) connection.whenRoom(() => callback(LATER));
  }
}

const LATER = new Error('acknowledged later');

/** Names a session at another broker. */
export function sessionName(description: Description): string {
  return `${description.url} ${clientIdOf(description)}`;
}

export function clientIdOf({ id, clientId = `loam-${id}` }: Description): string {
  return clientId;
}

function lossyWords(topics: readonly string[]): string {
  return `it grants QoS 0 for ${topics.join(', ')}: what it sends while Loam is away, or while the line is down, is lost`;
}

/** That the session of a source that was taken out may stay. */
export function leftWords({ source, session }: SourceSession, why: string): string {
  const [url, clientId] = session.split(' ');
  return `source ${source} was taken out, and its subscriptions could not be ended: ${why}; ${url} may go on keeping messages for the client id ${clientId}`;
}

/**
 * Reads secrets and certificates for each connection: they may be new. Rejects with ConfigInvalid, which names the place,
 * or with SecretUnopened.
 */
async function optionsOf(source: Description, parts: SourceParts, signal: AbortSignal): Promise<IClientOptions> {
  const { id, username } = source;
  const { patience = SOURCE_TIMEOUTS } = parts;
  const password = await passwordOf(source, parts.secretKeys(), signal);
  const [ca, cert, key] = await Promise.all(
    [source.ca, source.cert, source.key].map((path) => path && sourceFile(id, path, signal)),
  );
  return {
    clientId: clientIdOf(source),
    clean: false,
    protocolVersion: 4,
    keepalive: patience.keepaliveS,
    connectTimeout: patience.connectMs,
    reconnectPeriod: 0,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
  };
}

async function passwordOf(
  { id, password: sealed, passwordFile, passwordVariable }: Description,
  keys: SecretKeys | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (sealed !== undefined) {
    if (keys === undefined) throw new SecretUnopened(`password of source ${id}: LOAM_SECRET_KEY is missing`);
    return keys.open({ kind: 'source', id, key: 'password' }, sealed);
  }
  if (passwordFile !== undefined) return (await sourceFile(id, passwordFile, signal)).toString().trimEnd();
  if (passwordVariable === undefined) return undefined;
  const password = secretVariable(passwordVariable);
  if (password === undefined) throw new ConfigInvalid(passwordVariable, `source ${id}: ${passwordVariable} is not set`);
  return password;
}
