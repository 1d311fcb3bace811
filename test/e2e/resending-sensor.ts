import { setTimeout as delay } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { RawClient } from '../broker/harness.ts';
import { until } from '../services/wait.ts';
import type { Message } from './measurements.ts';

/** Longer than the broker keeps publishes that it cannot pass on, and that no client waits for. */
const AWAY_MS = 200;

/** What happens to the connection while messages are on their way. */
export const LINES = ['whole', 'cut at once', 'cut after an acknowledgement', 'cut for a while', 'taken over'] as const;
export type Line = (typeof LINES)[number];

export interface SignIn {
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
}

/** A message that the client still has to do something about (MQTT 3.1.1, 4.4). */
interface Exchange {
  readonly message: Message;
  /** With QoS 2, after PUBREC: then only the PUBREL is sent again. */
  released: boolean;
}

/**
 * A sensor or bridge whose session goes on (clean=0). When its connection was cut it comes back with the same client id,
 * and sends again what is unacknowledged, with its packet id and the DUP flag. A packet id is used again as soon as it
 * is free, as small devices do.
 */
export class ResendingSensor {
  private readonly signIn: SignIn;
  private readonly unfinished = new Map<number, Exchange>();
  private readonly retired: RawClient[] = [];
  private client: RawClient | undefined;
  private seen = 0;

  constructor(signIn: SignIn) {
    this.signIn = signIn;
  }

  /** Resolves when the messages with QoS 1 and 2 are acknowledged, and the broker has read those with QoS 0. */
  async publish(messages: readonly Message[], line: Line): Promise<void> {
    const client = this.client ?? (await this.connect());
    client.send(...messages.map((message) => this.begin(message)));
    if (line === 'cut after an acknowledgement') await this.acknowledgement(messages);
    if (line.startsWith('cut')) client.end();
    if (line === 'cut for a while') await delay(AWAY_MS);
    if (line !== 'whole') await this.connect();
    const pings = this.client?.of('pingresp').length ?? 0;
    this.client?.send({ cmd: 'pingreq' });
    await this.reads('the broker has read all', () => (this.client?.of('pingresp').length ?? 0) > pings);
    const waits = (id: number) => messages.some((message) => message === this.unfinished.get(id)?.message);
    await this.reads('all is acknowledged', () => ![...this.unfinished.keys()].some(waits));
  }

  end(): void {
    for (const client of [...this.retired, this.client]) client?.end();
  }

  private begin(message: Message): Packet {
    if (message.qos === 0) return packetOf(message, 0, false);
    let id = 1;
    while (this.unfinished.has(id)) id += 1;
    this.unfinished.set(id, { message, released: false });
    return packetOf(message, id, false);
  }

  private async connect(): Promise<RawClient> {
    const { port, username, password, clientId } = this.signIn;
    const client = new RawClient(port);
    client.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      clean: false,
      keepalive: 60,
      username,
      password: Buffer.from(password),
    });
    await until('CONNACK', () => client.of('connack').length === 1, { everyMs: 2 });
    // What came on the old connection until it was closed counts as well.
    this.read();
    if (this.client) this.retired.push(this.client);
    this.client = client;
    this.seen = 0;
    for (const { message } of this.unfinished.values()) {
      if (message.qos === 1) message.sentAgain = (message.sentAgain ?? 0) + 1;
    }
    const again = [...this.unfinished].map(
      ([id, { message, released }]): Packet =>
        released ? { cmd: 'pubrel', messageId: id } : packetOf(message, id, true),
    );
    if (again.length > 0) client.send(...again);
    return client;
  }

  private async acknowledgement(messages: readonly Message[]): Promise<void> {
    if (messages.every(({ qos }) => qos === 0)) return;
    await this.reads('an acknowledgement', () => messages.some(({ acknowledgedAt }) => acknowledgedAt !== undefined));
  }

  private async reads(what: string, probe: () => boolean): Promise<void> {
    const read = () => {
      this.read();
      return probe();
    };
    await until(`${this.signIn.username}: ${what}`, read, { everyMs: 2, timeoutMs: 20_000 });
  }

  private read(): void {
    const packets = this.client?.packets ?? [];
    for (; this.seen < packets.length; this.seen += 1) {
      const packet = packets[this.seen];
      if (packet) this.answer(packet);
    }
  }

  private answer({ cmd, messageId = 0 }: Packet): void {
    const exchange = this.unfinished.get(messageId);
    if (cmd === 'puback' || cmd === 'pubrec') {
      if (!exchange) throw new Error(`${cmd} of ${messageId}, which is not on its way`);
      exchange.message.acknowledgedAt ??= Date.now();
      exchange.released = true;
      if (cmd === 'pubrec') this.client?.send({ cmd: 'pubrel', messageId });
    }
    if (cmd === 'puback' || cmd === 'pubcomp') this.unfinished.delete(messageId);
  }
}

function packetOf({ topic, payload, qos }: Message, messageId: number, dup: boolean): Packet {
  const packet = { cmd: 'publish', topic, payload, qos, dup, retain: false } as const;
  return qos === 0 ? packet : { ...packet, messageId };
}
