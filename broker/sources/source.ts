import { readFile } from 'node:fs/promises';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { secretVariable } from '../../core/config.ts';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Source as Description } from '../../telemetry/registry-sources.ts';
import { SourceAcknowledgements } from './acknowledgements.ts';

/** How long a source may take to answer CONNECT, and how often it is asked whether it is still there. */
export interface SourcePatience {
  readonly connectMs: number;
  readonly keepaliveS: number;
}
const PATIENCE: SourcePatience = { connectMs: 10_000, keepaliveS: 30 };
const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 60_000;
/** A connection that held for so long was a good one: after it the pauses begin anew. */
const GOOD_MS = 60_000;
/** Most publishes between the source and the queue's confirm, and their bytes. At the bound its socket is not read. */
const IN_FLIGHT = { publishes: 256, bytes: 4 * 1024 ** 2 };
/** Most bytes of one packet. A source that sends a larger one is disconnected before it is buffered. */
const MOST_PACKET_BYTES = 1024 ** 2;

export interface SourceParts {
  readonly log: Logger;
  readonly patience?: SourcePatience | undefined;
  /** Takes one publish. Resolves when it is kept or was refused for good; `dropped`: it must not be acknowledged. `owner` tells whether it is still waited for. */
  readonly take: (topic: string, payload: Buffer, owner: { readonly waits: boolean }) => Promise<'done' | 'dropped'>;
  readonly count: (event: SourceEvent) => void;
}

/** `connected` and `lost` connections, those that were `not_allowed` to subscribe, `received` and `acknowledged` publishes. */
export type SourceEvent = 'connected' | 'lost' | 'not_allowed' | 'received' | 'acknowledged';

/**
 * One other broker that readings come from. It connects with a session that the other side keeps (clean=0), subscribes at QoS 1, and
 * acknowledges a publish when it is in the queue: what was not acknowledged comes again, after whatever broke.
 *
 * mqtt.js hands over one publish at a time and acknowledges when its handler calls back. So that many can be on their way to the queue, the handler
 * calls back at once, with an error, which keeps mqtt.js from acknowledging; the PUBACK is written here when its turn has come.
 */
export class SourceClient {
  private readonly description: Description;
  private readonly parts: SourceParts;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private down: string | undefined = 'not connected yet';
  private frozen = false;

  constructor(description: Description, parts: SourceParts) {
    this.description = description;
    this.parts = parts;
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

  /** Takes nothing more; acknowledgements still go out. */
  freeze(): void {
    this.frozen = true;
  }

  /** Takes nothing more and resolves when the connection is closed. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const begun = performance.now();
      const why = await this.connection().catch(explain);
      if (signal.aborted) break;
      if (this.connected) this.parts.count('lost');
      if (performance.now() - begun > GOOD_MS) attempt = 0;
      if (why !== this.down) this.parts.log.warn({ event: 'source_lost', source: this.description.id }, why);
      this.down = why;
      await pause(FIRST_PAUSE_MS + backoff(attempt, FIRST_PAUSE_MS, MOST_PAUSE_MS), signal);
    }
    this.down = 'stopped';
  }

  /** Resolves with what ended the connection; rejects with what kept it from being made. */
  private async connection(): Promise<string> {
    const options = await optionsOf(this.description, this.parts.patience ?? PATIENCE);
    const client = mqtt.connect(this.description.url, options);
    const acknowledgements = new SourceAcknowledgements(IN_FLIGHT);
    client.handleMessage = (packet, callback) => this.receive(client, packet, acknowledgements, callback);
    const end = () => client.end(true);
    this.stopping.signal.addEventListener('abort', end, { once: true });
    try {
      return await this.lifeOf(client);
    } finally {
      this.stopping.signal.removeEventListener('abort', end);
      acknowledgements.close();
      client.end(true);
    }
  }

  private lifeOf(client: MqttClient): Promise<string> {
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
    { stream }: MqttClient,
    { topic, payload, qos, messageId }: IPublishPacket,
    acknowledgements: SourceAcknowledgements,
    callback: (error?: Error) => void,
  ): void {
    // Not called back: mqtt.js hands over nothing more.
    if (this.frozen) return;
    const { take, count } = this.parts;
    count('received');
    const finish = acknowledgements.begin(payload.length, () => {
      if (qos === 0 || messageId === undefined) return;
      stream.write(mqttPacket.generate({ cmd: 'puback', messageId }));
      count('acknowledged');
    });
    void take(topic, Buffer.from(payload), acknowledgements).then((fate) => {
      // What is not kept although it is waited for is never acknowledged: it comes again with the next connection.
      if (fate === 'done' || qos === 0) finish();
    });
    acknowledgements.whenRoom(() => callback(LATER));
  }
}

const REFUSED = 128;
const LATER = new Error('acknowledged later');

/** Reads secrets and certificates anew for each connection: they may have been renewed. Rejects with ConfigInvalid, which names the place. */
async function optionsOf(source: Description, patience: SourcePatience): Promise<IClientOptions> {
  const { id, username, clientId = `loam-${id}` } = source;
  const password = await passwordOf(source);
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

async function passwordOf({ id, passwordFile, passwordVariable }: Description): Promise<string | undefined> {
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
