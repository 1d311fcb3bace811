import mqtt, { type MqttClient } from 'mqtt';
import { backoff } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import type { Values } from './probe.ts';

/** Values measured at `ts`, Unix ms. */
export interface Measured {
  readonly ts: number;
  readonly values: Values;
}

export interface SensorOptions {
  /** `mqtt://HOST:PORT` */
  readonly url: string;
  readonly id: string;
  readonly farm: string;
  readonly secret: string;
  readonly log: Logger;
  /** Most messages kept while the broker is away; the oldest is dropped for one more. */
  readonly outbox?: number;
}

export interface SensorCounts {
  /** Messages given to `send`. */
  published: number;
  /** Messages the broker acknowledged. */
  acknowledged: number;
  /** Messages dropped from a full outbox, or still unacknowledged at the end. */
  failed: number;
}

interface Message {
  readonly payload: string;
  readonly settle: (acknowledged: boolean) => void;
}

const OUTBOX = 1_000;
/** Messages without their PUBACK at once. The MQTT client sends these again by itself after a break. */
const IN_FLIGHT = 8;
const FIRST_RETRY_MS = 250;
const MOST_RETRY_MS = 15_000;

/**
 * One virtual sensor as a real MQTT client: QoS 1, every reading with its own time, each sent again until it is acknowledged.
 *
 * A message waits in the outbox until the sensor is connected and fewer than eight are unacknowledged; then the MQTT client has it,
 * until its PUBACK comes.
 */
export class Sensor {
  readonly counts: SensorCounts = { published: 0, acknowledged: 0, failed: 0 };
  private readonly options: SensorOptions;
  private readonly outbox: Message[] = [];
  private client: MqttClient | undefined;
  private unacknowledged = 0;
  private attempts = 0;
  private stopped = false;
  private refusal = '';

  constructor(options: SensorOptions) {
    this.options = options;
  }

  get connected(): boolean {
    return this.client?.connected ?? false;
  }

  /** Why the broker refused the last connection; empty when it did not. */
  get refused(): string {
    return this.refusal;
  }

  /** Begins to connect, and does so again after every break until `stop`. */
  start(): void {
    const { url, id, secret, log } = this.options;
    const client = mqtt.connect(url, {
      clientId: id,
      username: id,
      password: secret,
      reconnectPeriod: backoff(0, FIRST_RETRY_MS) + 1,
      reconnectOnConnackError: true,
      connectTimeout: 10_000,
    });
    client.on('connect', () => {
      this.attempts = 0;
      this.refusal = '';
      this.pump();
    });
    client.on('reconnect', () => {
      this.attempts += 1;
      // Read anew for each attempt. Never 0: that would end reconnecting.
      client.options.reconnectPeriod = 1 + backoff(this.attempts, FIRST_RETRY_MS, MOST_RETRY_MS);
    });
    client.on('error', (error) => {
      this.refusal = error.message;
      log.debug({ event: 'sensor_error', sensor: id }, error.message);
    });
    this.client = client;
  }

  /** Resolves true when the broker acknowledged all of `measured`, false when it never will have. */
  send(measured: readonly Measured[]): Promise<boolean> {
    this.counts.published += 1;
    const payload = JSON.stringify(measured.length === 1 ? measured[0] : measured);
    return new Promise((resolve) => {
      const settle = (acknowledged: boolean) => {
        this.counts[acknowledged ? 'acknowledged' : 'failed'] += 1;
        resolve(acknowledged);
      };
      if (this.stopped) return settle(false);
      this.outbox.push({ payload, settle });
      if (this.outbox.length > (this.options.outbox ?? OUTBOX)) this.outbox.shift()?.settle(false);
      this.pump();
    });
  }

  /** Waits up to `deadlineMs` for acknowledgements when there is a connection, then leaves. */
  async stop(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (this.connected && this.outbox.length + this.unacknowledged > 0 && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.stopped = true;
    for (const message of this.outbox.splice(0)) message.settle(false);
    await this.client?.endAsync(this.unacknowledged > 0 || !this.connected);
  }

  private pump(): void {
    const { client } = this;
    while (client?.connected && this.unacknowledged < IN_FLIGHT) {
      const message = this.outbox.shift();
      if (!message) return;
      this.unacknowledged += 1;
      const { farm, id } = this.options;
      client.publish(telemetryTopic(farm, id), message.payload, { qos: 1 }, (error) => {
        this.unacknowledged -= 1;
        message.settle(!error);
        this.pump();
      });
    }
  }
}
