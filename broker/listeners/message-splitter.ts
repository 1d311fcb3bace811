import type { Duplex } from 'node:stream';
import { FilteredSocket } from '../mqtt/filtered-socket.ts';

/** A message comes in parts of at most so many bytes, a multiple of the length of a masking key. */
const PART_BYTES = 64 * 1024;
const FIN = 0x80;
const OPCODE = 0x0f;
const CONTINUATION = 0x0;
const BINARY = 0x2;
const MASKED = 0x80;
const KEY_BYTES = 4;
/** The longest that a frame's header is: two bytes, a length of eight, and the key. */
const MOST_HEADER_BYTES = 14;

/** Of a message whose frame is being read: the bytes that are to come, and the key that each part is given. */
interface OpenFrame {
  left: bigint;
  readonly key: Buffer;
  /** What has come of the next part. */
  parts: Buffer[];
  bytes: number;
}

/**
 * The socket of a WebSocket, with large binary messages split into smaller ones. `ws` hands over whole messages only, and
 * would have to hold one of 256 MiB; MQTT does not care where a message ends [MQTT-6.0.0-2]. So each binary frame, and
 * each fragment of one, becomes messages of `PART_BYTES` at most. All other frames pass as they are: `ws` judges them.
 */
export class MessageSplitter extends FilteredSocket {
  private header: Buffer = Buffer.alloc(0);
  private frame: OpenFrame | undefined;
  /** Bytes of another frame that pass as they are. */
  private passing = 0n;
  /** Whether the message that was begun, in fragments, is binary. */
  private isBinary = false;

  /** `head`: what has come already. */
  constructor(socket: Duplex, head: Buffer) {
    super(socket);
    if (head.length > 0) this.receive(head);
  }

  protected override passOn(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(this.step(rest, out));
    return out;
  }

  /** Takes the next bytes of a header or of a frame, and returns how many they are. */
  private step(bytes: Buffer, out: Buffer[]): number {
    if (this.passing > 0n) {
      const count = least(this.passing, bytes.length);
      out.push(bytes.subarray(0, count));
      this.passing -= BigInt(count);
      return count;
    }
    if (this.frame) return this.stepInFrame(this.frame, bytes, out);
    const before = this.header.length;
    const header = Buffer.concat([this.header, bytes.subarray(0, MOST_HEADER_BYTES - before)]);
    const length = headerLength(header);
    if (header.length < length) {
      this.header = header;
      return bytes.length;
    }
    this.header = Buffer.alloc(0);
    this.begin(header.subarray(0, length), out);
    return length - before;
  }

  private begin(header: Buffer, out: Buffer[]): void {
    const [first = 0, second = 0] = header;
    const opcode = first & OPCODE;
    const bytes = payloadLength(header);
    if (opcode === BINARY) this.isBinary = true;
    const isOurs = opcode === BINARY || (opcode === CONTINUATION && this.isBinary);
    // Reserved bits, and frames without a mask, are against the protocol.
    const isSound = (first & ~(FIN | OPCODE)) === 0 && (second & MASKED) !== 0;
    // A text, too, ends what was begun.
    if (!isOurs && opcode < 8) this.isBinary = false;
    if (isOurs && isSound) {
      // A copy: the header is a part of a larger piece of memory.
      this.frame = { left: bytes, key: Buffer.from(header.subarray(-KEY_BYTES)), parts: [], bytes: 0 };
      if (bytes === 0n) this.endFrame(this.frame, out);
      return;
    }
    out.push(header);
    this.passing = bytes;
  }

  private stepInFrame(frame: OpenFrame, bytes: Buffer, out: Buffer[]): number {
    const count = least(frame.left, Math.min(bytes.length, PART_BYTES - frame.bytes));
    frame.parts.push(bytes.subarray(0, count));
    frame.bytes += count;
    frame.left -= BigInt(count);
    if (frame.left === 0n) this.endFrame(frame, out);
    else if (frame.bytes === PART_BYTES) pushPart(frame, out);
    return count;
  }

  private endFrame(frame: OpenFrame, out: Buffer[]): void {
    if (frame.bytes > 0) pushPart(frame, out);
    this.frame = undefined;
  }
}

/** A part is a whole message. The key fits, as all parts before it are as long as several keys. */
function pushPart(frame: OpenFrame, out: Buffer[]): void {
  const { bytes, key, parts } = frame;
  out.push(partHeader(bytes, key), ...parts);
  frame.parts = [];
  frame.bytes = 0;
}

function partHeader(bytes: number, key: Buffer): Buffer {
  if (bytes < 126) return Buffer.from([FIN | BINARY, MASKED | bytes, ...key]);
  if (bytes < 65_536) return Buffer.from([FIN | BINARY, MASKED | 126, bytes >> 8, bytes & 0xff, ...key]);
  return Buffer.from([
    FIN | BINARY,
    MASKED | 127,
    0,
    0,
    0,
    0,
    0,
    (bytes >> 16) & 0xff,
    (bytes >> 8) & 0xff,
    bytes & 0xff,
    ...key,
  ]);
}

/** How long the header is that begins so; at least one byte more than is here while that cannot be told. */
function headerLength(header: Buffer): number {
  const second = header[1];
  if (second === undefined) return 2;
  const length = second & ~MASKED;
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + ((second & MASKED) === 0 ? 0 : KEY_BYTES);
}

function payloadLength(header: Buffer): bigint {
  const length = (header[1] ?? 0) & ~MASKED;
  if (length === 127) return header.readBigUInt64BE(2);
  return BigInt(length === 126 ? header.readUInt16BE(2) : length);
}

function least(left: bigint, bytes: number): number {
  return left < BigInt(bytes) ? Number(left) : bytes;
}
