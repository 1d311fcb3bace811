import { randomBytes } from 'node:crypto';
import { connect as connectTcp, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { FilteredSocket } from '../mqtt/filtered-socket.ts';
import { measure, type OverlongPublish, type PacketLimits } from '../mqtt/overlong-publish.ts';
import { Pieces } from '../mqtt/wire.ts';

const MARK_BYTES = 16;
const SIZE_BYTES = 4;
const PORTS = { 'mqtt:': 1_883, 'mqtts:': 8_883 } as const;

/** Certificates and key for mqtts, as PEM. */
export interface LineSecrets {
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Begins to connect to the broker at `url`, mqtt:// or mqtts://. What is wrong comes as the socket's `error`. */
export function connectLine(url: string, { ca, cert, key }: LineSecrets): Duplex {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const isSecure = protocol === 'mqtts:';
  const where = { host, port: port === '' ? PORTS[isSecure ? 'mqtts:' : 'mqtt:'] : Number(port) };
  if (!isSecure) return connectTcp(where);
  return connectTls({
    ...where,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
  });
}

export interface SourceLineParts {
  readonly url: string;
  readonly limits: PacketLimits;
  /** Called when a part of a packet has come: the library sees nothing of it yet. */
  readonly alive: () => void;
}

/** A payload, or the beginning of one: then `sent` says how long it was. */
export interface LinePayload {
  readonly payload: Buffer;
  readonly sent?: number;
}

/**
 * The line to a source, as the MQTT library sees it. The library buffers packets of any size. So of a publish over the limit it
 * gets only the beginning, behind a mark that nobody else knows and the length of the payload; the rest is thrown away.
 * Any other packet over the limit ends the connection.
 */
export class SourceLine extends FilteredSocket {
  private readonly parts: SourceLineParts;
  private readonly mark = randomBytes(MARK_BYTES);
  private readonly pieces = new Pieces();
  /** So many bytes must be here before there is a packet, or more can be said. */
  private wanted = 0;
  private reading: OverlongPublish | undefined;

  constructor(socket: Duplex, parts: SourceLineParts) {
    super(socket);
    this.parts = parts;
  }

  /** What a payload is that the library has got over this line. */
  payloadOf(got: Buffer): LinePayload {
    const at = MARK_BYTES + SIZE_BYTES;
    if (got.length < at || !got.subarray(0, MARK_BYTES).equals(this.mark)) return { payload: got };
    return { payload: got.subarray(at), sent: got.readUInt32BE(MARK_BYTES) };
  }

  protected override passOn(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    this.pieces.add(chunk.subarray(this.throwAway(chunk, out)));
    if (this.reading || this.pieces.size > 0) this.parts.alive();
    if (this.pieces.size < this.wanted) return out;
    const bytes = this.pieces.all();
    let from = 0;
    let at = 0;
    this.wanted = 0;
    while (at < bytes.length && !this.reading) {
      const found = measure(bytes, at, this.parts.limits);
      if (typeof found === 'string') {
        this.refuse(found);
        return [];
      }
      if (typeof found !== 'number') {
        if (at > from) out.push(bytes.subarray(from, at));
        this.reading = found;
        at += found.headBytes;
        at += this.throwAway(bytes.subarray(at), out);
        from = at;
      } else if (found <= bytes.length - at) at += found;
      else {
        this.wanted = found;
        break;
      }
    }
    if (at > from) out.push(bytes.subarray(from, at));
    this.pieces.drop(at);
    return out;
  }

  /** Reads on at a publish over the limit, if there is one. Returns how many of `bytes` are its. */
  private throwAway(bytes: Buffer, out: Buffer[]): number {
    const { reading } = this;
    if (!reading) return 0;
    const count = reading.take(bytes);
    if (!reading.isWhole) return count;
    this.reading = undefined;
    const size = Buffer.alloc(SIZE_BYTES);
    size.writeUInt32BE(reading.sent);
    out.push(reading.shortened(Buffer.concat([this.mark, size])));
    return count;
  }

  private refuse(why: 'not_mqtt' | 'too_large' | 'malformed'): void {
    const { url, limits } = this.parts;
    const what = why === 'too_large' ? `a packet of more than ${limits.packetBytes} bytes` : 'what is not MQTT';
    this.destroy(new Error(`${url} sends ${what}`));
  }
}
