import type { Duplex } from 'node:stream';
import { Packr } from 'msgpackr';

/**
 * Messages between DuckDB's process and its owner, each in one frame on the socket between them:
 *
 *     bytes of the frame (u32) | bytes of the head (u32) | head, MessagePack | zeros up to a multiple of 8 | columns
 *
 * Columns are numbers as they lie in memory. As MessagePack or in Node's own messages the rows of a write took twice the
 * processor time, on both sides.
 */

export type Column = Float64Array | Uint32Array;

const LENGTHS = 8;
const UNIT = 8;
/** Far more than any message of ours has. */
const MOST_BYTES = 2 ** 30;

const packr = new Packr();

/** Sends a message; the socket keeps what the other side has not read yet in memory. */
export function sendFrame(to: Duplex, head: unknown, columns: readonly Column[] = []): void {
  const packed = packr.pack(head);
  const top = Buffer.alloc(roundedUp(LENGTHS + packed.length));
  const bytes = columns.reduce((sum, column) => sum + column.byteLength, top.length);
  top.writeUInt32LE(bytes, 0);
  top.writeUInt32LE(packed.length, 4);
  top.set(packed, LENGTHS);
  to.cork();
  to.write(top);
  for (const column of columns) to.write(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
  to.uncork();
}

/** Puts frames together from the pieces in which a socket brings them. */
export class FrameReader<Head> {
  private readonly take: (head: Head, columns: Uint8Array<ArrayBuffer>) => void;
  private readonly length = Buffer.alloc(4);
  private lengthBytes = 0;
  private frame: Buffer<ArrayBuffer> | undefined;
  private filled = 0;

  /** `take` is given each message in turn; `columns` begins at a multiple of 8 in its memory. */
  constructor(take: (head: Head, columns: Uint8Array<ArrayBuffer>) => void) {
    this.take = take;
  }

  /** Throws RangeError when this cannot be a frame. */
  push(piece: Buffer): void {
    let rest = piece;
    while (rest.length > 0) rest = this.frame ? this.fill(this.frame, rest) : this.begin(rest);
  }

  private begin(piece: Buffer): Buffer {
    const taken = piece.copy(this.length, this.lengthBytes);
    this.lengthBytes += taken;
    if (this.lengthBytes < this.length.length) return piece.subarray(taken);
    const bytes = this.length.readUInt32LE(0);
    if (bytes < LENGTHS || bytes > MOST_BYTES) throw new RangeError(`a message of ${bytes} bytes`);
    // Memory of its own, so that columns in it can be read where they lie.
    this.frame = Buffer.allocUnsafeSlow(bytes);
    this.length.copy(this.frame);
    this.filled = this.lengthBytes;
    this.lengthBytes = 0;
    return piece.subarray(taken);
  }

  private fill(frame: Buffer<ArrayBuffer>, piece: Buffer): Buffer {
    const taken = piece.copy(frame, this.filled);
    this.filled += taken;
    if (this.filled === frame.length) {
      this.frame = undefined;
      const headEnd = LENGTHS + frame.readUInt32LE(4);
      this.take(packr.unpack(frame.subarray(LENGTHS, headEnd)), frame.subarray(roundedUp(headEnd)));
    }
    return piece.subarray(taken);
  }
}

function roundedUp(bytes: number): number {
  return Math.ceil(bytes / UNIT) * UNIT;
}
