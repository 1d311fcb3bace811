import { Duplex } from 'node:stream';
import type { Bucket } from './bucket.ts';
import type { BrokerCounters } from './counters.ts';
import { isBestEffort, isConnect, isDisconnect, isPublish, packetLength } from './frame.ts';
import type { Intake } from './intake.ts';
import type { BrokerLimits } from './limits.ts';
import type { Arrival } from './listener.ts';
import { faultOf } from './well-formed.ts';

/** What all gates share. */
export interface Surroundings {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly intake: Intake;
  /** Whether the queue refuses at the moment. */
  readonly shut: () => boolean;
}

const NOTHING = Buffer.alloc(0);
const CONNACK_LEVEL = Buffer.from([0x20, 2, 0, 1]);
/** A client that does not read its answers is not read either. */
const MOST_UNREAD_BYTES = 64 * 1024;
/** How long a closed client may take to read its last answers. */
const FAREWELL_MS = 5_000;

/**
 * One client's socket, as the MQTT library sees it: only whole packets come through, and only as many as may be on their way at once.
 *
 * The library runs the publish hook for every packet of a chunk at once and buffers packets of any size; so packets are counted here,
 * in front of it. A gate goes through three states:
 * - `greeting`: nothing but one CONNECT packet comes through.
 * - `checking`: the credentials are looked at, everything else waits.
 * - `open`: packets come through in order. A publish takes room for itself first, from the client's own window and from the intake
 *   that all share. When there is none, it and everything behind it waits, and the socket is not read any more. Its room is handed on
 *   with `claim` and given back by whoever claimed it; what nobody claimed the gate gives back when it closes.
 *
 * When the socket ends, the gate ends only after the packets that were waiting in it have come through.
 */
export class Gate extends Duplex {
  /** Who it is, as far as the network knows. */
  readonly arrival: Arrival;
  private readonly socket: Duplex;
  private readonly around: Surroundings;
  private state: 'greeting' | 'checking' | 'open' = 'greeting';
  private held: Buffer = NOTHING;
  private arrived: Buffer[] = [];
  private arrivedBytes = 0;
  /** How many bytes in all make the next look worthwhile. */
  private wanted = 2;
  private hungry = false;
  private over = false;
  /** It said DISCONNECT: what it sends behind that is not looked at. */
  private left = false;
  private readonly unclaimed: number[] = [];
  private inFlight = 0;
  private inLineSince: number | undefined;
  private flowing = false;
  private frozen = false;
  private bucket: Bucket | undefined;
  private slowTimer: NodeJS.Timeout | undefined;

  constructor(arrival: Arrival, around: Surroundings) {
    super({ autoDestroy: true });
    const socket = arrival.wire;
    this.arrival = arrival;
    this.socket = socket;
    this.around = around;
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.socketClosed());
  }

  /** The client was let in: from now on its packets come through, publishes as fast as `bucket` fills. */
  open(bucket: Bucket): void {
    this.bucket = bucket;
    this.state = 'open';
    this.flow();
  }

  /** The bytes that the oldest unclaimed publish took in the intake. The claimer gives them back, and calls `settled` too. */
  claim(): number {
    return this.unclaimed.shift() ?? 0;
  }

  /** A claimed publish was acknowledged or dropped: the client's window has room for another. */
  settled(): void {
    this.inFlight -= 1;
    this.flowSoon();
  }

  /** Since when (monotonic ms) a publish has been waiting in line for the intake. */
  get waitingSince(): number | undefined {
    return this.inLineSince;
  }

  /** Bytes of answers and commands that the client has not read. */
  get unreadBytes(): number {
    return this.writableLength + this.socket.writableLength;
  }

  /** No more packets come through; answers still go out. */
  freeze(): void {
    this.frozen = true;
    this.socket.pause();
  }

  /** Closes the socket too, whether or not the client has read its last answers. */
  cut(): void {
    this.destroy();
    this.socket.destroy();
  }

  override _read(): void {
    this.hungry = true;
    this.flowSoon();
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // One write for all: an acknowledgement alone is three chunks of one or two bytes.
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer', done);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    // What a socket that has ended cannot take any more is nobody's loss.
    if (!this.socket.writable || this.socket.write(chunk)) {
      done();
      return;
    }
    this.socket.once('drain', () => {
      done();
      this.flowSoon();
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { intake } = this.around;
    intake.leaveLine(this.flowFromLine);
    this.inLineSince = undefined;
    clearTimeout(this.slowTimer);
    intake.removeWaiting(this.held.length + this.arrivedBytes);
    this.held = NOTHING;
    this.arrived = [];
    this.arrivedBytes = 0;
    for (const bytes of this.unclaimed.splice(0)) intake.give(bytes);
    if (error) this.socket.destroy();
    else this.letGo();
    done(error);
  }

  private letGo(): void {
    const { socket } = this;
    if (socket.destroyed) return;
    if (socket.writableFinished) {
      socket.destroy();
      return;
    }
    socket.once('finish', () => socket.destroy());
    socket.end();
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), FAREWELL_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  private receive(chunk: Buffer): void {
    if (this.destroyed || this.left) return;
    this.arrived.push(chunk);
    this.arrivedBytes += chunk.length;
    if (!this.around.intake.addWaiting(chunk.length, this.held.length + this.arrivedBytes)) {
      this.around.counters.closedOverMemory += 1;
      this.destroy(new Error('too many bytes are waiting'));
      return;
    }
    if (this.held.length + this.arrivedBytes >= this.wanted) this.flow();
  }

  private socketClosed(): void {
    this.over = true;
    // What waits for a place in line would wait for nobody.
    if (this.socket.errored || this.state !== 'open' || this.inLineSince !== undefined) this.destroy();
    else this.flow();
  }

  private flowSoon(): void {
    if (this.flowing || this.destroyed) return;
    this.flowing = true;
    setImmediate(() => {
      this.flowing = false;
      this.flow();
    });
  }

  private readonly flowFromLine = (): void => this.flow();

  /** Lets through as many whole packets as may go now, and reads on only when none is left that may not. */
  private flow(): void {
    if (this.destroyed) return;
    const bytes = this.join();
    let from = 0;
    let at = 0;
    let waits = false;
    for (let length = this.lengthAt(bytes, 0); length > 0; length = this.lengthAt(bytes, at)) {
      const verdict = this.admit(bytes[at], length);
      waits = verdict === 'wait';
      if (waits) break;
      if (!this.isWellFormed(bytes.subarray(at, at + length))) return;
      if (verdict === 'drop') {
        this.hand(bytes.subarray(from, at));
        from = at + length;
      }
      at += length;
      this.left = isDisconnect(bytes[at - length]);
      if (this.left) break;
    }
    if (this.destroyed) return;
    this.hand(bytes.subarray(from, at));
    this.held = this.left ? NOTHING : bytes.subarray(at);
    this.around.intake.removeWaiting(bytes.length - this.held.length);
    if (waits) this.socket.pause();
    else if (this.over) this.push(null);
    else this.socket.resume();
  }

  private join(): Buffer {
    if (this.arrivedBytes > 0) {
      const parts = this.held.length > 0 ? [this.held, ...this.arrived] : this.arrived;
      this.held = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      this.arrived = [];
      this.arrivedBytes = 0;
    }
    return this.held;
  }

  /** The length of the packet at `at` when it is there as a whole and may be read; otherwise 0. */
  private lengthAt(bytes: Buffer, at: number): number {
    const { limits, counters } = this.around;
    const length = packetLength(bytes, at);
    if (length === undefined) {
      this.wanted = bytes.length - at + 1;
      return 0;
    }
    if (Number.isNaN(length) || (this.state === 'greeting' && !isConnect(bytes[at]))) {
      counters.malformed += 1;
      this.destroy(new Error('not MQTT'));
      return 0;
    }
    if (length > (this.state === 'greeting' ? limits.connectBytes : limits.packetBytes)) {
      counters.oversize += 1;
      this.destroy(new Error('the packet is too large'));
      return 0;
    }
    this.wanted = length;
    return bytes.length - at >= length ? length : 0;
  }

  private admit(firstByte: number | undefined, length: number): 'pass' | 'drop' | 'wait' {
    const { limits, counters, intake, shut } = this.around;
    if (this.state === 'greeting') {
      this.state = 'checking';
      return 'pass';
    }
    if (this.state === 'checking' || this.frozen || !this.hungry || this.writableLength > MOST_UNREAD_BYTES)
      return 'wait';
    if (!isPublish(firstByte)) return 'pass';
    if (this.inFlight >= limits.clientPublishes || this.isSlowed()) return 'wait';
    if (!intake.take(length)) {
      if (isBestEffort(firstByte) && shut()) {
        counters.droppedQos0 += 1;
        return 'drop';
      }
      this.inLineSince ??= performance.now();
      intake.whenRoom(this.flowFromLine);
      return 'wait';
    }
    this.inLineSince = undefined;
    this.bucket?.take(length);
    this.inFlight += 1;
    this.unclaimed.push(length);
    return 'pass';
  }

  /** Whether the sensor has published as much as its rate lets it; then the gate looks again when there is room. */
  private isSlowed(): boolean {
    if (this.slowTimer) return true;
    const waitMs = this.bucket?.waitMs(performance.now()) ?? 0;
    if (waitMs === 0) return false;
    this.around.counters.slowed += 1;
    this.slowTimer = setTimeout(() => {
      this.slowTimer = undefined;
      this.flow();
    }, waitMs);
    return true;
  }

  /** False, and the connection is closed, when the packet breaks the rules of MQTT. */
  private isWellFormed(packet: Buffer): boolean {
    const fault = faultOf(packet);
    if (fault === undefined) return true;
    this.around.counters.malformed += 1;
    if (fault === 'level') {
      this.socket.write(CONNACK_LEVEL);
      this.destroy();
    } else {
      this.destroy(new Error('not MQTT 3.1.1'));
    }
    return false;
  }

  private hand(packets: Buffer): void {
    if (packets.length > 0) this.hungry = this.push(packets);
  }
}
