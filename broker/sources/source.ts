import { readFile } from 'node:fs/promises';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { clock } from '../../core/clock.ts';
import { secretVariable } from '../../core/config.ts';
import { ConfigInvalid, explain, SecretUnopened } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Source as Description } from '../../telemetry/registry/sources.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';
import { SourceConnection } from './connection.ts';

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

export interface SourceParts {
  readonly log: Logger;
  readonly patience?: SourceTimeouts | undefined;
  readonly secretKeys: () => SecretKeys | undefined;
  /** Makes what takes the publishes of one session at the source. */
  readonly takenBy: () => TakenPublishes;
  readonly count: (event: SourceEvent) => void;
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
  private readonly description: Description;
  private readonly parts: SourceParts;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private down: string | undefined = 'not connected yet';
  private frozen = false;
  /** The publishes of the session that the source keeps for Loam. */
  private taken: TakenPublishes;

  constructor(description: Description, parts: SourceParts) {
    this.description = description;
    this.parts = parts;
    this.taken = parts.takenBy();
  }

  get connected(): boolean {
    return this.down === undefined;
  }

  health(): Health {
    const { id, farm } = this.description;
    const only = { kind: 'sources', farm };
    const health = { name: `source ${id}`, ok: this.connected, optional: true, only } as const;
    return this.down === undefined ? health : { ...health, why: this.down };
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

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const begun = clock.passed();
      const why = await this.connection().catch(explain);
      if (signal.aborted) break;
      if (this.connected) this.parts.count('lost');
      if (clock.passed() - begun > GOOD_MS) attempt = 0;
      if (why !== this.down) this.parts.log.warn({ event: 'source_lost', source: this.description.id }, why);
      this.down = why;
      await pause(FIRST_PAUSE_MS + backoff(attempt, FIRST_PAUSE_MS, MOST_PAUSE_MS), signal);
    }
    this.taken.clear();
    this.down = 'stopped';
  }

  /** Resolves with the reason when an open connection has closed. Rejects when it failed, or could not be made. */
  private async connection(): Promise<string> {
    const options = await optionsOf(this.description, this.parts);
    const client = mqtt.connect(this.description.url, options);
    const connection = new SourceConnection(client, () => this.parts.count('acknowledged'));
    client.handleMessage = (packet, callback) => this.receive(connection, packet, callback);
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
    const { id, url, topics } = this.description;
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
      client.on('connect', () => {
        client.subscribe(topics, { qos: 1 }, (error, granted = []) => {
          const refused = granted.filter(({ qos }) => qos === REFUSED).map(({ topic }) => topic);
          if (error || refused.length > 0) {
            this.parts.count('not_allowed');
            const what = (refused.length > 0 ? refused : topics).join(', ');
            reject(new Error(`not allowed to subscribe: ${url} refuses ${what}`));
            return;
          }
          this.down = undefined;
          this.parts.count('connected');
          this.parts.log.info({ event: 'source_connected', source: id }, `readings are taken from ${url}`);
        });
      });
    });
  }

  private receive(
    connection: SourceConnection,
    { topic, payload, qos, dup, messageId = 0 }: IPublishPacket,
    callback: (error?: Error) => void,
  ): void {
    // Without the callback mqtt.js hands over no more publishes.
    if (this.frozen) return;
    this.parts.count('received');
    connection.begin(payload.length);
    this.taken.take(connection, { topic, payload: Buffer.from(payload), qos, dup, messageId }, payload.length);
    connection.whenRoom(() => callback(LATER));
  }
}

const REFUSED = 128;
const LATER = new Error('acknowledged later');

/**
 * Reads secrets and certificates for each connection: they may be new. Rejects with ConfigInvalid, which names the place,
 * or with SecretUnopened.
 */
async function optionsOf(source: Description, parts: SourceParts): Promise<IClientOptions> {
  const { id, username, clientId = `loam-${id}` } = source;
  const { patience = SOURCE_TIMEOUTS } = parts;
  const password = await passwordOf(source, parts.secretKeys());
  const [ca, cert, key] = await Promise.all(
    [source.ca, source.cert, source.key].map((path) => path && fileOf(id, path)),
  );
  return {
    clientId,
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
): Promise<string | undefined> {
  if (sealed !== undefined) {
    if (keys === undefined) throw new SecretUnopened(`password of source ${id}: LOAM_SECRET_KEY is missing`);
    return keys.open({ kind: 'source', id, key: 'password' }, sealed);
  }
  if (passwordFile !== undefined) return (await fileOf(id, passwordFile)).toString().trimEnd();
  if (passwordVariable === undefined) return undefined;
  const password = secretVariable(passwordVariable);
  if (password === undefined) throw new ConfigInvalid(passwordVariable, `source ${id}: ${passwordVariable} is not set`);
  return password;
}

async function fileOf(id: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ConfigInvalid(path, `source ${id}: ${path} cannot be read`, { cause });
  }
}
