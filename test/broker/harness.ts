import { connect as connectTcp, type Socket } from 'node:net';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import type { Consumer, Handler, Queue } from '../../backbone/ports/queue.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { newCounters } from '../../broker/counters.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { TakenPublishes } from '../../broker/ingest/taken-publishes.ts';
import { QueueFull, QueueUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { decodeBatch, type Publish } from '../../telemetry/batch.ts';
import { Book } from '../services/registry.ts';

/** A real queue whose confirms a test can hold back, and whose publishes it can refuse. */
export class Valve implements Queue {
  readonly inner: Queue;
  private held: (() => void)[] | undefined;
  private passing = false;
  private refusal: (() => Error) | undefined;
  tried = 0;

  constructor(inner: Queue) {
    this.inner = inner;
  }

  /** From now on no publish begins until `letGo`. */
  hold(): void {
    this.held ??= [];
    this.passing = false;
  }

  /** Those that are held stay so; later ones go through. */
  pass(): void {
    this.passing = true;
  }

  /** Lets the held publishes go, in the order given: `reversed` confirms the newest first. */
  letGo(order: 'in order' | 'reversed' = 'in order'): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const go of order === 'in order' ? held : held.reverse()) go();
  }

  /** Lets the one go that was held first. */
  letGoOldest(): void {
    this.held?.shift()?.();
  }

  get heldNow(): number {
    return this.held?.length ?? 0;
  }

  refuse(how: 'full' | 'unavailable'): void {
    this.refusal = () => (how === 'full' ? new QueueFull('at its limit') : new QueueUnavailable('away'));
  }

  accept(): void {
    this.refusal = undefined;
  }

  async publish(body: Uint8Array): Promise<void> {
    this.tried += 1;
    const { held } = this;
    if (held && !this.passing) await new Promise<void>((go) => held.push(go));
    if (this.refusal) throw this.refusal();
    await this.inner.publish(body);
  }

  consume(handler: Handler, options: { readonly prefetch: number }): Promise<Consumer> {
    return this.inner.consume(handler, options);
  }
  depth(): Promise<number> {
    return this.inner.depth();
  }
  drain(): Promise<void> {
    return this.inner.drain();
  }
  get state(): ConnectionState {
    return this.inner.state;
  }
  watch(listener: (state: ConnectionState) => void): () => void {
    return this.inner.watch(listener);
  }
  close(): Promise<void> {
    return this.inner.close();
  }
}

/** For a session whose publishes nobody looks at. */
export function takenByNobody(): TakenPublishes {
  const parts = {
    counters: newCounters(),
    receipts: new Receipts({ log: silent }),
    mostQos2: 1,
    holdsQos0: false,
    known: { count: 0, most: 1 },
  };
  return new TakenPublishes({ ...parts, budget: { give: () => {} }, offer: () => {} }, true);
}

export const FARMS = registryOf({});

/** Two farms with sensors a1, a2, bridge `gate` (north) and b1 (south). Each one's secret is `secret-` and its id, unless another is given. */
export function registryOf(secrets: Readonly<Record<string, string | null>>): string {
  const sensor = (id: string, farm: string, rest: string) => {
    const secret = secrets[id] === undefined ? `secret-${id}` : secrets[id];
    return secret === null ? '' : `  - { id: ${id}, farm: ${farm}, secret: ${hashSecret(secret)}${rest} }\n`;
  };
  return `farms:
  - { id: north, name: North, timezone: Europe/Berlin }
  - { id: south, name: South, timezone: Europe/Berlin }
fields:
  - { id: f1, farm: north, name: Field 1 }
sensors:
${sensor('a1', 'north', ', field: f1')}${sensor('a2', 'north', '')}${sensor('gate', 'north', ', role: bridge')}${sensor('b1', 'south', '')}`;
}

/** A broker on a free port over `queue`, with limits that make its bounds easy to reach where a test wants it. */
export async function startBroker(
  queue: Queue,
  options: Partial<Pick<BrokerOptions, 'limits' | 'registry' | 'onRefused' | 'refused' | 'log' | 'receipts'>> = {},
): Promise<Broker> {
  const defaults = { host: '127.0.0.1', port: 0, queue, registry: new Book(FARMS), log: silent };
  const broker = new Broker({ ...defaults, ...options });
  await broker.start();
  return broker;
}

/** Connects as a sensor with mqtt.js; rejects when the broker says no. It never reconnects by itself. */
export function connectAs(port: number, sensor: string, options: IClientOptions = {}): Promise<MqttClient> {
  return mqtt.connectAsync(
    `mqtt://127.0.0.1:${port}`,
    { username: sensor, password: `secret-${sensor}`, reconnectPeriod: 0, connectTimeout: 5_000, ...options },
    false,
  );
}

export function topicOf(sensor: string, farm = 'north'): string {
  return `farms/${farm}/sensors/${sensor}/telemetry`;
}

/** Everything in the queue, as publishes, taken out of it. Resolves when `count` have come. */
export async function takeOut(queue: Queue, count: number): Promise<Publish[]> {
  const taken: Publish[] = [];
  let enough: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    enough = resolve;
  });
  if (count === 0) return taken;
  const consumer = await queue.consume(
    async ({ body }) => {
      taken.push(...decodeBatch(body).publishes);
      if (taken.length >= count) enough();
    },
    { prefetch: 1 },
  );
  await all;
  await consumer.stop();
  return taken;
}

/** A bare MQTT client: sends any bytes, and collects the packets that come back. */
export class RawClient {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  closed = false;
  private readonly parser = mqttPacket.parser();

  constructor(port: number) {
    this.socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
    this.parser.on('packet', (packet: Packet) => this.packets.push(packet));
    this.socket.on('data', (chunk) => this.parser.parse(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  send(...packets: Packet[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet))));
  }

  /** CONNECT as `sensor`, without waiting for the answer. */
  greet(sensor: string, more: Partial<Pick<IConnectPacket, 'clientId' | 'clean' | 'keepalive' | 'will'>> = {}): void {
    const { clientId = 'raw', clean = true, keepalive = 60, ...rest } = more;
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      clean,
      keepalive,
      username: sensor,
      password: Buffer.from(`secret-${sensor}`),
      ...rest,
    });
  }

  publish(topic: string, payload: string | Buffer, messageId: number): void {
    this.send(publishPacket(topic, payload, messageId));
  }

  /** The packets of one kind that have come so far. */
  of(cmd: Packet['cmd']): Packet[] {
    return this.packets.filter((packet) => packet.cmd === cmd);
  }

  /** The message ids acknowledged so far, in order. */
  get pubacks(): (number | undefined)[] {
    return this.of('puback').map((packet) => packet.messageId);
  }

  end(): void {
    this.socket.destroy();
  }
}

/** A QoS 1 PUBLISH; QoS 0 when `messageId` is 0. */
export function publishPacket(topic: string, payload: string | Buffer, messageId: number): Packet {
  const qos = messageId === 0 ? 0 : 1;
  return { cmd: 'publish', topic, payload, qos, dup: false, retain: false, ...(qos === 1 ? { messageId } : {}) };
}
