import type { MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import type { PublishConnection } from '../ingest/taken-publish.ts';

/** Most publishes of a source without their acknowledgement, and their bytes. At the limit its socket is not read. */
const MOST_PENDING = { publishes: 256, bytes: 4 * 1024 ** 2 };

/** One connection to a source: counts what is unacknowledged on it, and writes acknowledgements. */
export class SourceConnection implements PublishConnection {
  readonly from = '';
  private readonly client: MqttClient;
  private readonly onAcknowledged: () => void;
  /** Bytes of each publish that is unacknowledged, in the order in which they came: so they are acknowledged. */
  private readonly pending: number[] = [];
  private bytes = 0;
  private waiting: (() => void) | undefined;
  private onKept: (() => void) | undefined;

  constructor(client: MqttClient, onAcknowledged: () => void) {
    this.client = client;
    this.onAcknowledged = onAcknowledged;
  }

  /** Counts a publish of so many bytes. */
  begin(bytes: number): void {
    this.pending.push(bytes);
    this.bytes += bytes;
  }

  /** Calls `go` when one more publish may be taken: at once, or when one is acknowledged. */
  whenRoom(go: () => void): void {
    if (this.hasRoom) go();
    else this.waiting = go;
  }

  /** Calls `go` when the publish with QoS 2 that was taken last is acknowledged: mqtt.js then sends its PUBREC, and hands over the next. */
  whenKept(go: () => void): void {
    this.onKept = go;
  }

  acknowledge(qos: 1 | 2, messageId: number): void {
    if (qos === 1) this.client.stream.write(mqttPacket.generate({ cmd: 'puback', messageId }));
    else this.onKept?.();
    this.onAcknowledged();
  }

  /** mqtt.js answers a PUBREL itself. */
  complete(): void {}

  settled(): void {
    this.bytes -= this.pending.shift() ?? 0;
    if (!this.hasRoom) return;
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.();
  }

  destroy(): void {
    this.client.end(true);
  }

  private get hasRoom(): boolean {
    return this.pending.length < MOST_PENDING.publishes && this.bytes < MOST_PENDING.bytes;
  }
}
