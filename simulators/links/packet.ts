import { clock } from '../../core/clock.ts';
import { MqttConnection } from '../load/connection.ts';
import { publishPacket } from '../load/messages.ts';
import { FAREWELL_MS, IN_FLIGHT, type Link, type LinkOptions, type LinkRefusal, type Outgoing } from './link.ts';
import { drained, Outbox } from './outbox.ts';

const KEEPALIVE_S = 60;
const TEND_MS = 5_000;

/** A link that adds very little to the MQTT codec: thousands of them fit into one process. */
export class PacketLink implements Link {
  breaks = 0;
  refused: LinkRefusal | undefined;
  private readonly connection: MqttConnection<Outgoing>;
  private readonly outbox: Outbox;
  private readonly sent = new Set<Outgoing>();
  private tending: NodeJS.Timeout | undefined;
  private away = false;

  constructor(options: LinkOptions) {
    this.outbox = new Outbox(options.outbox);
    const { url, clientId, username, password } = options;
    this.connection = new MqttConnection(
      {
        url: new URL(url),
        clientId,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        keepaliveS: KEEPALIVE_S,
        inFlight: IN_FLIGHT,
        qos: 1,
      },
      {
        next: () => this.next(),
        packet: ({ topic, payload, qos }, messageId, again) => {
          const bytes = typeof payload === 'string' ? payload : Buffer.from(payload);
          return publishPacket(topic, bytes, qos === 0 ? undefined : messageId, again);
        },
        done: (message) => this.settle(message, true),
        resent: () => {},
        up: () => {
          this.refused = undefined;
        },
        lost: () => {
          this.breaks += 1;
        },
        refused: (why, code) => {
          this.refused = { why, code };
        },
      },
      () => {
        if (!this.away) this.connection.open();
      },
    );
  }

  get connected(): boolean {
    return this.connection.state === 'up';
  }

  get pending(): number {
    return this.outbox.size + this.sent.size;
  }

  start(): void {
    this.tending = setInterval(() => this.connection.tend(clock.passed()), TEND_MS);
    this.connection.open();
  }

  publish(message: Outgoing): void {
    this.outbox.add(message);
    this.connection.pump();
  }

  leave(): void {
    this.away = true;
    this.connection.cut();
  }

  comeBack(): void {
    if (!this.away) return;
    this.away = false;
    if (this.connection.state === 'waiting') this.connection.open();
  }

  async stop(deadlineMs: number): Promise<void> {
    await drained(this, clock.passed() + deadlineMs);
    clearInterval(this.tending);
    this.connection.end();
    // A socket that the broker does not close would keep the process alive.
    setTimeout(() => this.connection.destroy(), FAREWELL_MS).unref();
    for (const message of [...this.sent]) this.settle(message, false);
    this.outbox.close();
  }

  /** A QoS 0 message is sent here and not kept: it is never acknowledged. */
  private next(): Outgoing | undefined {
    for (let message = this.outbox.next(); message; message = this.outbox.next()) {
      if (message.qos === 1) {
        this.sent.add(message);
        return message;
      }
      const { topic, payload } = message;
      this.connection.send(publishPacket(topic, typeof payload === 'string' ? payload : Buffer.from(payload)));
      message.settle(true);
    }
    return undefined;
  }

  private settle(message: Outgoing, acknowledged: boolean): void {
    this.sent.delete(message);
    message.settle(acknowledged);
  }
}
