import { telemetryTopic } from '../telemetry/topic.ts';
import { MqttJsLink } from './links/mqttjs.ts';
import type { ProbeValues } from './probe.ts';

/** Values measured at `ts`, Unix ms. */
export interface SimulatedValues {
  readonly ts: number;
  readonly values: ProbeValues;
}

export interface SensorOptions {
  /** `mqtt://HOST:PORT` */
  readonly url: string;
  readonly id: string;
  readonly farm: string;
  readonly secret: string;
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

/**
 * One virtual sensor as a real MQTT client: QoS 1; every reading has its own time and is sent until it is acknowledged.
 */
export class VirtualSensor {
  readonly counts: SensorCounts = { published: 0, acknowledged: 0, failed: 0 };
  private readonly topic: string;
  private readonly link: MqttJsLink;

  constructor({ url, id, farm, secret, outbox }: SensorOptions) {
    this.topic = telemetryTopic(farm, id);
    this.link = new MqttJsLink({
      url,
      clientId: id,
      username: id,
      password: secret,
      ...(outbox === undefined ? {} : { outbox }),
    });
  }

  get connected(): boolean {
    return this.link.connected;
  }

  /** Why the broker refused the last connection; empty when it did not. */
  get refused(): string {
    return this.link.refused?.why ?? '';
  }

  /** Begins to connect, and does so again after every break until `stop`. */
  start(): void {
    this.link.start();
  }

  /** Resolves with true when the broker acknowledged all of `measured`, with false when they were given up. */
  send(measured: readonly SimulatedValues[]): Promise<boolean> {
    this.counts.published += 1;
    const payload = JSON.stringify(measured.length === 1 ? measured[0] : measured);
    return new Promise((resolve) => {
      const settle = (acknowledged: boolean) => {
        this.counts[acknowledged ? 'acknowledged' : 'failed'] += 1;
        resolve(acknowledged);
      };
      this.link.publish({ topic: this.topic, payload, qos: 1, settle });
    });
  }

  /** Waits up to `deadlineMs` for acknowledgements when there is a connection, then leaves. */
  async stop(deadlineMs: number): Promise<void> {
    await this.link.stop(deadlineMs);
  }
}
