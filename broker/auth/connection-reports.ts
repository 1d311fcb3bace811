import mqttPacket from 'mqtt-packet';
import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import type { Publish } from '../../telemetry/batch.ts';
import { cut } from '../../telemetry/noted.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { BrokerLimits } from '../limits.ts';
import type { SocketFault } from '../mqtt/socket-fault.ts';
import { type Identity, identify } from './identity.ts';
import { ofIdentity, type RefusalReason, whyWrong } from './why-refused.ts';

/** Why a connection was closed before a byte of MQTT was read. */
export type EntranceFault = 'too_many_connections' | 'certificate' | 'tls';

export interface ConnectionReportsParts {
  readonly note: (refusal: RefusalNote) => void;
  readonly registry: RegistryView;
  readonly secretKeys: () => SecretKeys | undefined;
  /** Largest CONNECT packet, largest packet after it that is no PUBLISH, and largest payload of one, bytes. */
  readonly limits: Pick<BrokerLimits, 'connectBytes' | 'packetBytes' | 'payloadBytes'>;
}

/** So much of a topic is shown. */
const SHOWN_TOPIC = 100;

/** Tells who was refused by the broker, why, and whose device it is as far as that is certain. */
export class ConnectionReports {
  private readonly parts: ConnectionReportsParts;

  constructor(parts: ConnectionReportsParts) {
    this.parts = parts;
  }

  readonly atEntrance = (from: string, why: EntranceFault, what = ''): void => {
    this.parts.note({ kind: 'mqtt_refused', from, why, what });
  };

  readonly atConnect = (from: string, reason: RefusalReason): void => {
    this.parts.note({ kind: 'mqtt_refused', from, ...reason });
  };

  /** `identity`: of a client that was let in. `packet`: the one that was refused, if it was a whole one. */
  readonly onSocket = (from: string, fault: SocketFault, identity: Identity | undefined, packet?: Buffer): void => {
    const what = this.wordsOf(fault, identity !== undefined);
    const reason = identity ? ofIdentity(identity, fault, what) : { ...this.whoseIs(fault, packet), why: fault, what };
    this.parts.note({ kind: 'mqtt_refused', from, ...reason });
  };

  /** A publish of `sent` bytes that was acknowledged, and of which only the beginning is kept. The connection stays. */
  readonly overlong = (from: string, { farm, sensor, topic }: Publish, sent: number): void => {
    const most = this.parts.limits.payloadBytes;
    const what = `a payload of ${sent} bytes to ${JSON.stringify(cut(topic, SHOWN_TOPIC))}, where ${most} are the most (LOAM_PAYLOAD_KB): it was acknowledged, and only its beginning is kept, as a dead letter`;
    const isKnown = this.parts.registry.current().sensor(farm, sensor) !== undefined;
    const whose = { who: `${farm}/${sensor}`, farm, sensor, isKnown };
    this.parts.note({ kind: 'mqtt_refused', from, why: 'too_large', ...whose, what });
  };

  /** `before`: the address of the connection that ended. */
  readonly takenOver = (from: string, before: string, identity: Identity, clientId: string): void => {
    const where = before === from ? 'the same address' : before;
    const what = `client id ${JSON.stringify(clientId)}, which was connected from ${where}`;
    this.parts.note({ kind: 'taken_over', from, ...ofIdentity(identity, 'same_client_id', what) });
  };

  /** Whose device it is, when its name or secret say so. Its reason stays the version, which it is refused for anyway. */
  private whoseIs(fault: SocketFault, connect: Buffer | undefined): Partial<RefusalReason> {
    if (fault !== 'protocol' || connect === undefined) return {};
    const { username, password } = credentialsIn(connect);
    const { registry, secretKeys } = this.parts;
    const identity = identify(registry.current(), username, password, secretKeys());
    return identity ? ofIdentity(identity, '', '') : whyWrong(registry.current(), username, password);
  }

  private wordsOf(fault: SocketFault, isIn: boolean): string {
    const { connectBytes, packetBytes } = this.parts.limits;
    switch (fault) {
      case 'not_mqtt':
        return 'what it sent is not MQTT';
      case 'protocol':
        return 'it speaks another version of MQTT than 3.1.1, such as 5: set its version to 3.1.1';
      case 'malformed':
        return 'a packet was not as MQTT 3.1.1 says';
      case 'wrong_answer':
        return 'it answered a command of QoS 1 as one of QoS 2: update its firmware';
      case 'too_large':
        return `a packet had more than ${isIn ? packetBytes : connectBytes} bytes`;
    }
  }
}

/** User name and password in a CONNECT packet of a version that Loam does not speak. */
function credentialsIn(connect: Buffer): { username?: string | undefined; password?: Buffer | undefined } {
  const found: { username?: string | undefined; password?: Buffer | undefined } = {};
  const parser = mqttPacket.parser();
  parser.on('packet', (packet) => {
    if (packet.cmd !== 'connect') return;
    found.username = packet.username;
    found.password = packet.password;
  });
  // What it cannot read has no name.
  parser.on('error', () => {});
  parser.parse(connect);
  return found;
}
