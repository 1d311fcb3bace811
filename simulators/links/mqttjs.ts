import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { MqttClient } from 'mqtt';
import { clock } from '../../core/clock.ts';
import { backoff } from '../../core/timing.ts';
import { FAREWELL_MS, IN_FLIGHT, type Link, type LinkOptions, type LinkRefusal, type Outgoing } from './link.ts';
import { drained, Outbox } from './outbox.ts';

const FIRST_RETRY_MS = 250;
const MOST_RETRY_MS = 15_000;
/** How often a link that must stay away checks whether it may connect again. */
const AWAY_MS = 50;

/** A link over mqtt.js, which most sensors written in JavaScript use. It sends unacknowledged messages again itself. */
export class MqttJsLink implements Link {
  breaks = 0;
  refused: LinkRefusal | undefined;
  private readonly options: LinkOptions;
  private readonly outbox: Outbox;
  private client: MqttClient | undefined;
  private unacknowledged = 0;
  private attempts = 0;
  private away = false;

  constructor(options: LinkOptions) {
    this.options = options;
    this.outbox = new Outbox(options.outbox);
  }

  get connected(): boolean {
    return this.client?.connected ?? false;
  }

  get pending(): number {
    return this.outbox.size + this.unacknowledged;
  }

  start(): void {
    const { clientId, username, password } = this.options;
    const client = new MqttClient(() => this.dial(), {
      clientId,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      reconnectPeriod: backoff(0, FIRST_RETRY_MS) + 1,
      reconnectOnConnackError: true,
      connectTimeout: 10_000,
    });
    client.on('connect', () => {
      this.attempts = 0;
      this.refused = undefined;
      this.pump();
    });
    client.on('reconnect', () => {
      this.attempts += 1;
      this.setRetry();
    });
    client.on('offline', () => {
      this.breaks += 1;
    });
    client.on('error', (error) => {
      this.refused = {
        why: error.message,
        code: 'code' in error && typeof error.code === 'number' ? error.code : undefined,
      };
    });
    this.client = client;
  }

  publish(message: Outgoing): void {
    this.outbox.add(message);
    this.pump();
  }

  leave(): void {
    this.away = true;
    this.setRetry();
    this.client?.stream.destroy();
  }

  comeBack(): void {
    if (!this.away) return;
    this.away = false;
    this.attempts = 0;
  }

  async stop(deadlineMs: number): Promise<void> {
    const end = clock.passed() + deadlineMs;
    await drained(this, end);
    this.outbox.close();
    const { client } = this;
    if (!client) return;
    // mqtt.js waits without limit until the other side closes too.
    const late = setTimeout(() => client.stream.destroy(), Math.max(FAREWELL_MS, end - clock.passed()));
    await client.endAsync(this.unacknowledged > 0 || !this.connected);
    clearTimeout(late);
  }

  /** A socket to the broker. While away, a stream that closes at once: mqtt.js then retries by itself. */
  private dial(): Duplex {
    const url = new URL(this.options.url);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (this.away) {
      const broken = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
      setImmediate(() => broken.destroy());
      return broken;
    }
    return url.protocol === 'mqtts:'
      ? connectTls({ host, port: Number(url.port || 8883), servername: host })
      : connectTcp({ host, port: Number(url.port || 1883), noDelay: true });
  }

  /** Sets the wait before the next attempt; mqtt.js reads it for each attempt. Never 0: that would end reconnecting. */
  private setRetry(): void {
    if (!this.client) return;
    this.client.options.reconnectPeriod = this.away
      ? AWAY_MS
      : 1 + backoff(this.attempts, FIRST_RETRY_MS, MOST_RETRY_MS);
  }

  private pump(): void {
    const { client } = this;
    while (client?.connected && this.unacknowledged < IN_FLIGHT) {
      const message = this.outbox.next();
      if (!message) return;
      this.unacknowledged += 1;
      const payload = typeof message.payload === 'string' ? message.payload : Buffer.from(message.payload);
      client.publish(message.topic, payload, { qos: message.qos }, (error) => {
        this.unacknowledged -= 1;
        message.settle(!error);
        this.pump();
      });
    }
  }
}
