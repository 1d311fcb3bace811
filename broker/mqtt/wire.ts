import type { Duplex } from 'node:stream';

/** How long a closed client may take to accept its last answers. */
const CLOSE_WAIT_MS = 5_000;

/** The answers to a client's publishes, as the first byte of their packets (MQTT 3.1.1, 3.4 to 3.7). */
export const PUBACK = 0x40;
export const PUBREC = 0x50;
export const PUBCOMP = 0x70;
export type Answer = typeof PUBACK | typeof PUBREC | typeof PUBCOMP;

/** The answer to a CONNECT of another version of MQTT. */
export const CONNACK_LEVEL = Buffer.from([0x20, 2, 0, 1]);

/** Closes a connection when everything written to it has been sent, or after `CLOSE_WAIT_MS`. */
export function endAfterLast(wire: Duplex): void {
  if (wire.destroyed) return;
  if (wire.writableFinished) {
    wire.destroy();
    return;
  }
  wire.once('finish', () => wire.destroy());
  wire.end();
  wire.resume();
  const timer = setTimeout(() => wire.destroy(), CLOSE_WAIT_MS);
  wire.once('close', () => clearTimeout(timer));
}

/** Writes bytes, and calls back when more may be written. A socket that has ended takes no more: they are dropped, and the write counts as done. */
export function writeTo(socket: Duplex, bytes: Buffer, done: () => void): void {
  if (!socket.writable || socket.write(bytes)) done();
  else socket.once('drain', () => done());
}

/** Writes the answers to one client's publishes. Those of one turn of the event loop are written together. */
export class AnswerWriter {
  private readonly wire: Duplex;
  private bytes: number[] = [];

  constructor(wire: Duplex) {
    this.wire = wire;
  }

  add(answer: Answer, messageId: number): void {
    if (this.bytes.length === 0) setImmediate(() => this.write());
    this.bytes.push(answer, 2, messageId >> 8, messageId & 0xff);
  }

  /** Writes the answers that have not been written yet. */
  write(): void {
    const { bytes, wire } = this;
    if (bytes.length === 0) return;
    this.bytes = [];
    if (wire.writable) wire.write(Buffer.from(bytes));
  }
}

/** Bytes that were received and not passed on yet. The pieces are joined only when `all` or `drop` is called. */
export class Pieces {
  private joined: Buffer = Buffer.alloc(0);
  private more: Buffer[] = [];
  private length = 0;

  get size(): number {
    return this.length;
  }

  add(piece: Buffer): void {
    this.more.push(piece);
    this.length += piece.length;
  }

  all(): Buffer {
    if (this.more.length > 0) {
      const parts = this.joined.length > 0 ? [this.joined, ...this.more] : this.more;
      this.joined = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      this.more = [];
    }
    return this.joined;
  }

  /** Lets the first `count` bytes go. */
  drop(count: number): void {
    this.joined = this.all().subarray(count);
    this.length = this.joined.length;
  }
}
