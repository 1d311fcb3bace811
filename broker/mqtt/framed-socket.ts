import { Duplex } from 'node:stream';
import type { BrokerCounters } from '../counters.ts';
import { type PublishBucket, ReadPace } from '../ingest/bucket.ts';
import type { MemoryBudget } from '../ingest/memory-budget.ts';
import type { BrokerLimits } from '../limits.ts';
import type { Arrival } from '../listeners/listener.ts';
import { isBestEffort, isConnect, isDisconnect, isExactlyOnce, isPublish, packetLength } from './frame.ts';
import { type IncomingPublish, PublishReader } from './publish-packet.ts';
import { faultOf } from './well-formed.ts';
import { endAfterLast, Pieces, PubackWriter } from './wire.ts';

/** What all gates share. */
export interface Surroundings {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly budget: MemoryBudget;
  /** Whether the queue refuses at the moment. */
  readonly shut: () => boolean;
}

/** Takes one publish with QoS 0 or 1, and gives `room` back to the budget and the framed socket when it is done with it. */
export type Take = (publish: IncomingPublish, room: number) => void;

const CONNACK_LEVEL = Buffer.from([0x20, 2, 0, 1]);
/** A client that does not read its answers is not read either. */
const MOST_UNREAD_BYTES = 64 * 1024;

/**
 * One client's socket, as the MQTT library sees it: only whole packets come through, and only as many as may be on their way at once.
 *
 * The library runs the publish hook for every packet of a chunk at once and buffers packets of any size; so packets are counted here,
 * in front of it. A framed socket goes through three states:
 * - `greeting`: nothing but one CONNECT packet comes through.
 * - `checking`: the credentials are looked at, everything else waits.
 * - `open`: packets come through in order. A publish takes room for itself first, from the client's own window and from the budget
 *   that all share. When there is none, it and everything behind it waits, and the socket is not read any more. Its room is handed on
 *   with `claim` and given back by whoever claimed it; what nobody claimed the framed socket gives back when it closes.
 *
 * When the socket ends, the framed socket ends only after the packets that were waiting in it have come through.
 */
export class FramedSocket extends Duplex {
  /** Who it is, as far as the network knows. */
  readonly arrival: Arrival;
  private readonly socket: Duplex;
  private readonly around: Surroundings;
  private state: 'greeting' | 'checking' | 'open' = 'greeting';
  private readonly pieces = new Pieces();
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
  private blocked = false;
  private lastHeard = performance.now();
  private readonly reader = new PublishReader();
  private readonly acks: PubackWriter;
  private onPublish: Take = () => {};
  private pace: ReadPace | undefined;

  constructor(arrival: Arrival, around: Surroundings) {
    super({ autoDestroy: true });
    const socket = arrival.wire;
    this.arrival = arrival;
    this.socket = socket;
    this.around = around;
    this.acks = new PubackWriter(socket);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.socketClosed());
    socket.on('drain', () => this.flowSoon());
  }

  /**
   * The client was let in: from now on its packets come through, publishes as fast as `bucket` fills. Those with QoS 0 and 1 go to `take`
   * with their room in the budget, past the library; all else goes through it.
   */
  open(bucket: PublishBucket, take: Take): void {
    this.pace = new ReadPace(bucket, this.flowFromLine, this.around.counters);
    this.onPublish = take;
    this.state = 'open';
    this.flow();
  }

  /** The bytes that the oldest unclaimed publish took in the budget. The claimer gives them back, and calls `settled` too. */
  claim(): number {
    return this.unclaimed.shift() ?? 0;
  }

  /** A claimed publish was acknowledged or dropped: the client's window has room for another. */
  settled(): void {
    this.inFlight -= 1;
    this.flowSoon();
  }

  /** Since when (monotonic ms) a publish has been waiting in line for the budget. */
  get waitingSince(): number | undefined {
    return this.inLineSince;
  }

  /** For how long (ms) it has sent nothing although it was read; `now` is monotonic. */
  silentMs(now: number): number {
    return this.blocked ? 0 : now - this.lastHeard;
  }

  /** Sends PUBACK, together with the others of this turn of the loop. */
  acknowledge(messageId: number): void {
    this.acks.add(messageId);
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
    this.socket.once('drain', () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { budget } = this.around;
    budget.leaveLine(this.flowFromLine);
    this.inLineSince = undefined;
    this.pace?.stop();
    this.letGo(this.pieces.size);
    for (const bytes of this.unclaimed.splice(0)) budget.give(bytes);
    if (error) this.socket.destroy();
    else {
      this.acks.write();
      endAfterLast(this.socket);
    }
    done(error);
  }

  private receive(chunk: Buffer): void {
    if (this.destroyed || this.left) return;
    this.pieces.add(chunk);
    if (!this.around.budget.addWaiting(chunk.length, this.pieces.size)) {
      this.around.counters.closedOverMemory += 1;
      this.destroy(new Error('too many bytes are waiting'));
      return;
    }
    if (this.pieces.size >= this.wanted) this.flow();
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
    const bytes = this.pieces.all();
    let from = 0;
    let at = 0;
    let waits = false;
    for (let length = this.lengthAt(bytes, 0); length > 0; length = this.lengthAt(bytes, at)) {
      const verdict = this.admit(bytes[at], length);
      waits = verdict === 'wait';
      if (waits) break;
      const packet = bytes.subarray(at, at + length);
      if (verdict === 'pass' ? !this.isWellFormed(packet) : verdict === 'take' && !this.takes(packet)) return;
      if (verdict !== 'pass') {
        this.hand(bytes.subarray(from, at));
        from = at + length;
      }
      at += length;
      this.left = isDisconnect(bytes[at - length]);
      if (this.left) break;
    }
    if (this.destroyed) return;
    this.hand(bytes.subarray(from, at));
    this.letGo(this.left ? bytes.length : at);
    this.blocked = waits;
    if (at > 0) this.lastHeard = performance.now();
    if (waits) this.socket.pause();
    else if (this.over) this.push(null);
    else this.socket.resume();
  }

  /** The first bytes are done with. */
  private letGo(count: number): void {
    this.pieces.drop(count);
    this.around.budget.removeWaiting(count);
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

  private admit(firstByte: number | undefined, length: number): 'pass' | 'take' | 'drop' | 'wait' {
    const { limits, counters, budget, shut } = this.around;
    if (this.state === 'greeting') {
      this.state = 'checking';
      return 'pass';
    }
    if (this.state === 'checking' || this.frozen || !this.hungry || this.unreadBytes > MOST_UNREAD_BYTES) return 'wait';
    if (!isPublish(firstByte)) return 'pass';
    if (this.inFlight >= limits.clientPublishes || this.pace?.isSlowed()) return 'wait';
    if (!budget.take(length)) {
      if (isBestEffort(firstByte) && shut()) {
        counters.droppedQos0 += 1;
        return 'drop';
      }
      this.inLineSince ??= performance.now();
      budget.whenRoom(this.flowFromLine);
      return 'wait';
    }
    this.inLineSince = undefined;
    this.pace?.take(length);
    this.inFlight += 1;
    if (!isExactlyOnce(firstByte)) return 'take';
    this.unclaimed.push(length);
    return 'pass';
  }

  /** Hands a publish over; false, and the connection is closed, when it breaks the rules of MQTT. */
  private takes(packet: Buffer): boolean {
    const publish = this.reader.read(packet);
    if (publish) this.onPublish(publish, packet.length);
    else {
      this.around.counters.malformed += 1;
      this.around.budget.give(packet.length);
      this.destroy(new Error('not MQTT 3.1.1'));
    }
    return !this.destroyed;
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
