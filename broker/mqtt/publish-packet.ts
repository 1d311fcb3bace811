import { faultOf } from './well-formed.ts';

/** What a PUBLISH says. */
export interface IncomingPublish {
  readonly topic: string;
  readonly payload: Buffer;
  /** How many bytes the payload had, when it was over the limit: `payload` is its beginning then. */
  readonly sent?: number;
  readonly qos: 0 | 1 | 2;
  /** Whether the client says that it sends this again. */
  readonly dup: boolean;
  /** 0 with QoS 0. */
  readonly messageId: number;
  /** Whether another broker sends it as a retained message, which it may have sent before. Of sensors it is not asked. */
  readonly retain?: boolean;
}

const QOS = 0b110;
const DUP = 0b1000;
const MOST_LEVELS = 100;
/** No control characters, and no wildcards [MQTT-3.3.2-2]. */
const FORBIDDEN = /[\p{Cc}+#]/u;

/**
 * Reads the PUBLISH packets of one client. Most clients always publish to the same topic. So a topic is checked and
 * decoded once; while its bytes stay the same it is used again.
 */
export class PublishReader {
  private topicBytes: Buffer | undefined;
  private topic = '';

  /** What a whole packet says; undefined when it breaks the rules of MQTT. */
  read(packet: Buffer): IncomingPublish | undefined {
    const first = packet[0] ?? 0;
    let at = 1;
    while ((packet[at] ?? 0) >= 0x80) at += 1;
    const topicAt = at + 3;
    if (topicAt > packet.length) return undefined;
    const topicEnd = topicAt + packet.readUInt16BE(at + 1);
    const qos = qosOf(first);
    const dup = (first & DUP) !== 0;
    const end = qos === 0 ? topicEnd : topicEnd + 2;
    if (end > packet.length || qos === undefined || (qos === 0 && dup)) return undefined;
    const messageId = qos === 0 ? 0 : packet.readUInt16BE(topicEnd);
    if (qos > 0 && messageId === 0) return undefined;
    const topicBytes = packet.subarray(topicAt, topicEnd);
    if (!this.topicBytes?.equals(topicBytes)) {
      const topic = topicBytes.toString();
      if (faultOf(packet) !== undefined || !isTopicName(topic)) return undefined;
      // A copy, because the packet's bytes are part of a larger buffer that is soon released.
      this.topicBytes = Buffer.from(topicBytes);
      this.topic = topic;
    }
    return { topic: this.topic, payload: packet.subarray(end), qos, dup, messageId };
  }
}

/** The QoS in a first byte; undefined for 3, which does not exist. */
function qosOf(first: number): 0 | 1 | 2 | undefined {
  const bits = (first & QOS) >> 1;
  return bits === 0 || bits === 1 || bits === 2 ? bits : undefined;
}

function isTopicName(topic: string): boolean {
  return topic !== '' && !FORBIDDEN.test(topic) && topic.split('/', MOST_LEVELS + 1).length <= MOST_LEVELS;
}
