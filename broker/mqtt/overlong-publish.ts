import { isBestEffort, isPublish, packetLength } from './frame.ts';

/** Of a payload over the limit at most so many bytes are kept: enough to see what it was. */
const MOST_KEPT_BYTES = 4 * 1024;

/** Largest payload of a PUBLISH, and largest packet of another kind; bytes. */
export interface PacketLimits {
  readonly payloadBytes: number;
  readonly packetBytes: number;
}

/**
 * How many bytes must be here, from `at` on, for a whole packet, or to say more. A PUBLISH over the limit is answered
 * with what reads it from its payload on, once its head is here; anything else that may not come, with the reason.
 */
export function measure(
  bytes: Buffer,
  at: number,
  { payloadBytes, packetBytes }: PacketLimits,
): number | 'not_mqtt' | 'too_large' | 'malformed' | OverlongPublish {
  const oneMore = bytes.length - at + 1;
  const length = packetLength(bytes, at);
  if (length === undefined) return oneMore;
  if (Number.isNaN(length)) return 'not_mqtt';
  if (!isPublish(bytes[at])) return length > packetBytes ? 'too_large' : length;
  if (length <= payloadBytes) return length;
  const topicAt = at + headerBytes(bytes, at);
  if (topicAt + 2 > bytes.length) return oneMore;
  const head = topicAt - at + 2 + bytes.readUInt16BE(topicAt) + (isBestEffort(bytes[at]) ? 0 : 2);
  if (head > length) return 'malformed';
  if (length - head <= payloadBytes) return length;
  if (at + head > bytes.length) return oneMore;
  return new OverlongPublish(bytes.subarray(at, at + head), length - head, payloadBytes);
}

/** Bytes of the fixed header at `at`: its first byte and the length behind it. */
function headerBytes(bytes: Buffer, at: number): number {
  let end = at + 1;
  while ((bytes[end] ?? 0) >= 0x80) end += 1;
  return end + 1 - at;
}

/**
 * A PUBLISH whose payload is over the limit, while it comes. Its beginning is kept; the rest is counted, and never in
 * memory. So it may have the 256 MiB that the protocol allows.
 */
export class OverlongPublish {
  /** Bytes of the payload as it is sent. */
  readonly sent: number;
  /** Bytes of the head that it was made with. */
  readonly headBytes: number;
  /** Bytes of memory that it takes, at most. */
  readonly room: number;
  private readonly head: Buffer;
  private readonly mostKept: number;
  private readonly kept: Buffer[] = [];
  private keptBytes = 0;
  private left: number;

  /** `head`: its bytes before the payload. Of its payload of `payload` bytes no more than `limit` are kept. */
  constructor(head: Buffer, payload: number, limit: number) {
    // A copy: the bytes are a part of a larger piece of memory.
    this.head = Buffer.from(head);
    this.sent = payload;
    this.left = payload;
    this.mostKept = Math.min(MOST_KEPT_BYTES, limit);
    this.headBytes = head.length;
    this.room = head.length + this.mostKept;
  }

  /** Whether all of it has come. */
  get isWhole(): boolean {
    return this.left === 0;
  }

  /** Takes what belongs to it from the begin of `bytes`, and returns how many bytes those are. */
  take(bytes: Buffer): number {
    const taken = Math.min(bytes.length, this.left);
    const more = Math.min(taken, this.mostKept - this.keptBytes);
    if (more > 0) this.kept.push(Buffer.from(bytes.subarray(0, more)));
    this.keptBytes += more;
    this.left -= taken;
    return taken;
  }

  /** The packet as it would be if its payload ended after what was kept, with `before` in front of that. */
  shortened(before: Buffer = NOTHING): Buffer {
    const [first = 0] = this.head;
    const body = Buffer.concat([this.head.subarray(headerBytes(this.head, 0)), before, ...this.kept]);
    return Buffer.concat([Buffer.from([first, ...lengthBytes(body.length)]), body]);
  }
}

const NOTHING = Buffer.alloc(0);

/** A remaining length as MQTT 3.1.1 writes it (2.2.3). */
function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  for (let left = length; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) | 0x80);
  }
}
