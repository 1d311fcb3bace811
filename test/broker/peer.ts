import { connect as connectTcp, type Socket } from 'node:net';
import { packetLength } from '../../broker/mqtt/frame.ts';
import { until } from '../services/wait.ts';
import { type ConnectBytes, connect, PINGREQ, typeOf } from './mqtt-bytes.ts';

/** A packet as it came: the type of its first byte, the flags in it, and what follows the fixed header. */
export interface Arrived {
  readonly type: string;
  readonly flags: number;
  readonly body: Buffer;
}

/** An MQTT client that knows nothing of MQTT but where a packet ends: it sends bytes and keeps those that come back. */
export class Peer {
  readonly arrived: Arrived[] = [];
  closed = false;
  private readonly socket: Socket;
  private rest = Buffer.alloc(0);

  constructor(port: number) {
    this.socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (chunk) => this.take(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  send(...bytes: readonly Buffer[]): this {
    this.socket.write(Buffer.concat(bytes));
    return this;
  }

  /** Sends bytes; resolves when the machine has taken them. */
  sent(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** The body of the `count`-th packet of a type, once it is there. Rejects when the connection ends first. */
  async next(type: string, count = 1): Promise<Arrived> {
    return await until(`${type} number ${count}`, () => {
      const found = this.of(type)[count - 1];
      if (found === undefined && this.closed) throw new Error('the connection was closed');
      return found;
    });
  }

  of(type: string): Arrived[] {
    return this.arrived.filter((packet) => packet.type === type);
  }

  /** Packet ids of the packets of a type, in the order they came. For PUBLISH use `publishes`. */
  ids(type: string): number[] {
    return this.of(type).map(({ body }) => body.readUInt16BE(0));
  }

  /** What was published to this client. */
  get publishes(): { topic: string; id: number; payload: string; qos: number; dup: boolean; retain: boolean }[] {
    return this.of('publish').map(({ flags, body }) => {
      const qos = (flags >> 1) & 3;
      const end = 2 + body.readUInt16BE(0);
      return {
        topic: body.toString('utf8', 2, end),
        id: qos > 0 ? body.readUInt16BE(end) : 0,
        payload: body.toString('utf8', qos > 0 ? end + 2 : end),
        qos,
        dup: (flags & 8) !== 0,
        retain: (flags & 1) !== 0,
      };
    });
  }

  /** Sends a CONNECT and resolves with the return code of its CONNACK; undefined when it was closed without one. */
  async connect(changes: ConnectBytes = {}): Promise<number | undefined> {
    this.send(connect(changes));
    await until('CONNACK or the end', () => this.of('connack').length > 0 || this.closed);
    return this.of('connack')[0]?.body[1];
  }

  /** Resolves when the broker has closed the connection. */
  async end(): Promise<void> {
    await until('the broker closes the connection', () => this.closed);
  }

  /** Resolves when the broker has answered a PINGREQ: everything sent before was seen, and the connection lives. */
  async ping(): Promise<void> {
    const before = this.of('pingresp').length;
    this.send(PINGREQ);
    await this.next('pingresp', before + 1);
  }

  /** Ends the connection as a network failure would. */
  cut(): void {
    this.socket.destroy();
  }

  private take(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    for (;;) {
      const length = packetLength(this.rest, 0);
      if (length === undefined || this.rest.length < length) return;
      const first = this.rest[0] ?? 0;
      const header = this.rest.subarray(1).findIndex((byte) => byte < 128) + 2;
      this.arrived.push({ type: typeOf(first), flags: first & 0x0f, body: this.rest.subarray(header, length) });
      this.rest = this.rest.subarray(length);
    }
  }
}
