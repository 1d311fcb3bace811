import { clock } from '../../core/clock.ts';
import { ControlPace } from '../ingest/control-rate.ts';
import { type PublishBucket, ReadPace } from '../ingest/publish-rate.ts';
import type { PublishTaker } from '../ingest/taken-publish.ts';
import type { IncomingConnection } from '../listeners/listener.ts';
import { AnsweringSocket } from './answering-socket.ts';
import { isBestEffort, isConnect, isDisconnect, isPublish, isPubrel } from './frame.ts';
import { measure, type OverlongPublish } from './overlong-publish.ts';
import { PublishReader } from './publish-packet.ts';
import type { SharedParts } from './shared-parts.ts';
import { FAULT_COUNTED, type SocketFault } from './socket-fault.ts';
import { WaitingBytes } from './waiting-bytes.ts';
import { faultOf, WrongAnswer } from './well-formed.ts';
import { CONNACK_LEVEL } from './wire.ts';

/** `pass`: to the library. `take`, `release`: to the taker. `drop`: a QoS 0 publish without room while the queue refuses. */
type PacketVerdict = 'pass' | 'take' | 'release' | 'drop' | 'wait';

/** A client's packets are not read while it leaves more answers than this unread. */
const MOST_UNREAD_BYTES = 64 * 1024;

/**
 * One client's socket, as the MQTT library sees it. It passes on whole packets only, and limits publishes on their way.
 *
 * The library runs the publish hook for all packets of a chunk at once, and it buffers packets of any size. So packets
 * are counted here, before they reach it. A framed socket has three states:
 * - `greeting`: only one CONNECT packet is passed on.
 * - `checking`: the credentials are checked, and all other packets wait.
 * - `open`: packets are passed on in order. A publish first takes room in the client's own window and in the memory
 *   budget. Without room, that publish and all packets behind it wait, and the socket is not read. Publishes and PUBREL
 *   go to the `PublishTaker`, with their room; all other packets go to the library.
 *
 * Of a publish whose payload is over the limit only the beginning is kept. It takes its room when its head is here; what
 * follows is read at the client's rate and thrown away, and at its end it goes to the `PublishTaker` as any other.
 *
 * When the socket ends, the framed socket first passes on the packets that wait in it, and then ends too.
 */
export class FramedSocket extends AnsweringSocket {
  /** The client's connection: bytes, address and the name in its certificate. */
  readonly arrival: IncomingConnection;
  private readonly shared: SharedParts;
  private state: 'greeting' | 'checking' | 'open' = 'greeting';
  private readonly waiting: WaitingBytes;
  /** Whose publishes they are in the memory budget. */
  private who = '';
  /** `receive` calls `flow` only when so many bytes are here: with fewer there is no whole packet. */
  private wanted = 2;
  private readerReady = false;
  private socketEnded = false;
  /** The client sent DISCONNECT: bytes behind it are ignored. */
  private disconnected = false;
  /** A publish over the limit whose head is here, and one that is being read; `isTaken`: it has its room. */
  private ahead: OverlongPublish | undefined;
  private reading: { readonly publish: OverlongPublish; readonly isTaken: boolean } | undefined;
  private inFlight = 0;
  /** Since when a publish has been waiting for room in the budget, monotonic ms; undefined when none waits. Only read it. */
  waitingSince: number | undefined;
  private flowing = false;
  private frozen = false;
  private lastHeard = clock.passed();
  private readonly reader = new PublishReader();
  private taker: PublishTaker | undefined;
  private pace: ReadPace | undefined;
  private readonly controls: ControlPace;

  constructor(arrival: IncomingConnection, shared: SharedParts) {
    const socket = arrival.wire;
    super(socket);
    this.arrival = arrival;
    this.shared = shared;
    this.waiting = new WaitingBytes(shared.budget);
    this.controls = new ControlPace(this.flowWhenRoom, shared.counters);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.socketClosed());
    socket.on('drain', () => this.flowSoon());
  }

  get from(): string {
    return this.arrival.address;
  }

  /** Called when the client was let in. From now on its packets are passed on, and its publishes as fast as `bucket` fills. `who`: the sensor or bridge. */
  open(bucket: PublishBucket, taker: PublishTaker, who: string): void {
    this.who = who;
    this.waiting.belongTo(who);
    this.pace = new ReadPace(bucket, this.flowWhenRoom, this.shared.counters);
    this.taker = taker;
    this.state = 'open';
    this.flow();
  }

  /** A publish was acknowledged or dropped: the client's window has room for another. */
  settled(): void {
    this.inFlight -= 1;
    this.flowSoon();
  }

  /** For how long (ms) no whole packet has come from the client; 0 while its socket is not read. `now` is monotonic. */
  silentMs(now: number): number {
    return this.blocked ? 0 : now - this.lastHeard;
  }

  /** Passes on no more packets; answers are still sent. */
  freeze(): void {
    this.frozen = true;
    this.socket.pause();
  }

  override _read(): void {
    this.readerReady = true;
    this.flowSoon();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.shared.budget.cancelWait(this.flowWhenRoom, this.who);
    this.waitingSince = undefined;
    this.pace?.stop();
    this.controls.stop();
    this.waiting.drop(this.waiting.size);
    if (this.reading?.isTaken) this.shared.budget.give(this.reading.publish.room, this.who);
    this.reading = undefined;
    super._destroy(error, done);
  }

  private receive(received: Buffer): void {
    if (this.destroyed || this.disconnected) return;
    const chunk = received.subarray(this.throwAway(received));
    if (this.destroyed || chunk.length === 0) return;
    if (!this.waiting.add(chunk)) {
      this.shared.counters.closedOverMemory += 1;
      this.destroy(new Error('too many bytes are waiting'));
      return;
    }
    if (this.waiting.size >= this.wanted) this.flow();
  }

  private socketClosed(): void {
    this.socketEnded = true;
    // A publish that still waits for room, or has not come whole, is dropped: its client has gone and can get no acknowledgement.
    const isLost = this.waitingSince !== undefined || this.reading !== undefined;
    if (this.socket.errored || this.state !== 'open' || isLost) this.destroy();
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

  private readonly flowWhenRoom = (): void => this.flow();

  /** Passes on as many whole packets as are allowed now. The socket is read further only when no packet has to wait. */
  private flow(): void {
    if (this.destroyed) return;
    if (this.reading) {
      this.readOn(this.isHeld());
      return;
    }
    this.ahead = undefined;
    const bytes = this.waiting.all();
    let from = 0;
    let at = 0;
    let waits = false;
    for (let length = this.lengthAt(bytes, 0); length > 0; length = this.lengthAt(bytes, at)) {
      const verdict = this.admit(bytes[at], length);
      waits = verdict === 'wait';
      if (waits) break;
      const packet = bytes.subarray(at, at + length);
      if (!this.isHandled(verdict, packet)) return;
      if (verdict !== 'pass') {
        this.hand(bytes.subarray(from, at));
        from = at + length;
      }
      at += length;
      this.disconnected = isDisconnect(bytes[at - length]);
      if (this.disconnected) break;
    }
    if (this.destroyed) return;
    this.hand(bytes.subarray(from, at));
    if (this.ahead) {
      const begun = this.beginOverlong(this.ahead, bytes.subarray(at));
      waits = begun === 0;
      at += begun;
    }
    this.waiting.drop(this.disconnected ? bytes.length : at);
    if (at > 0) this.lastHeard = clock.passed();
    // Behind a publish that was over the limit there may be others that are here.
    if (this.ahead && !waits && !this.reading) this.flowSoon();
    else if (!this.socketEnded || waits) this.readOn(waits || (this.reading !== undefined && this.isHeld()));
    else if (this.reading) this.destroy();
    else this.push(null);
  }

  /** Whether the rest of a publish over the limit has to wait. */
  private isHeld(): boolean {
    return this.frozen || this.pace?.isSlowed() === true;
  }

  /** Begins to read a publish over the limit, when there is room for it. Returns how many of `bytes` are its; 0: it waits. */
  private beginOverlong(publish: OverlongPublish, bytes: Buffer): number {
    const verdict = this.admit(bytes[0], publish.room);
    if (verdict === 'wait') return 0;
    this.reading = { publish, isTaken: verdict === 'take' };
    this.wanted = 2;
    return publish.headBytes + this.throwAway(bytes.subarray(publish.headBytes));
  }

  /** Reads on at a publish over the limit, if there is one. Returns how many of `bytes` are its: none of them is kept. */
  private throwAway(bytes: Buffer): number {
    const { reading } = this;
    if (!reading) return 0;
    const { publish, isTaken } = reading;
    const count = publish.take(bytes);
    this.lastHeard = clock.passed();
    this.pace?.takeBytes(count);
    if (publish.isWhole) {
      this.reading = undefined;
      if (isTaken) this.isTaken(publish.shortened(), publish.room, publish.sent);
    } else if (this.isHeld()) this.readOn(true);
    return count;
  }

  /**
   * Length of a whole packet at `at`; otherwise 0. Closes a connection that sends no MQTT or too large a packet. A publish over the
   * limit is put `ahead`.
   */
  private lengthAt(bytes: Buffer, at: number): number {
    const { limits } = this.shared;
    const isGreeting = this.state === 'greeting';
    if (isGreeting && at < bytes.length && !isConnect(bytes[at])) return this.refuse('not_mqtt');
    const found = measure(bytes, at, isGreeting ? { packetBytes: limits.connectBytes, payloadBytes: 0 } : limits);
    if (typeof found === 'string') return this.refuse(found);
    if (typeof found !== 'number') {
      this.ahead = found;
      return 0;
    }
    this.wanted = found;
    return bytes.length - at >= found ? found : 0;
  }

  private admit(firstByte: number | undefined, length: number): PacketVerdict {
    const { limits, counters, budget, shut } = this.shared;
    if (this.state === 'greeting') {
      this.state = 'checking';
      return 'pass';
    }
    if (this.state === 'checking' || this.frozen || !this.readerReady || this.unreadBytes > MOST_UNREAD_BYTES)
      return 'wait';
    if (isPubrel(firstByte)) return 'release';
    if (!isPublish(firstByte)) return this.controls.tryTake() ? 'pass' : 'wait';
    if (this.inFlight >= limits.clientPublishes || this.pace?.isSlowed()) return 'wait';
    if (!budget.take(length, this.who)) {
      if (isBestEffort(firstByte) && shut()) {
        counters.droppedQos0 += 1;
        return 'drop';
      }
      this.waitingSince ??= clock.passed();
      budget.whenRoom(this.flowWhenRoom, this.who);
      return 'wait';
    }
    this.waitingSince = undefined;
    this.pace?.take(length);
    this.inFlight += 1;
    return 'take';
  }

  /** False when the connection is closed over the packet. What passes is handed to the library later. */
  private isHandled(verdict: PacketVerdict, packet: Buffer): boolean {
    if (verdict === 'drop') return true;
    if (verdict === 'take') return this.isTaken(packet);
    if (!this.isWellFormed(packet)) return false;
    if (verdict === 'release') this.taker?.release(packet.readUInt16BE(packet.length - 2));
    return true;
  }

  /**
   * Hands a publish over, with its room. False, and the connection is closed, when the publish breaks the rules of MQTT. `sent`: how
   * long its payload was, of which this is the beginning.
   */
  private isTaken(packet: Buffer, room = packet.length, sent?: number): boolean {
    const publish = this.reader.read(packet);
    if (publish && this.taker) this.taker.take(sent === undefined ? publish : { ...publish, sent }, room);
    else {
      this.shared.budget.give(room, this.who);
      this.refuse('malformed');
    }
    return !this.destroyed;
  }

  /** False, and the connection is closed, when the packet breaks the rules of MQTT. */
  private isWellFormed(packet: Buffer): boolean {
    const fault = faultOf(packet);
    if (fault === undefined) return true;
    if (fault === 'level') this.socket.write(CONNACK_LEVEL);
    this.refuse(fault === 'level' ? 'protocol' : fault === 'answer' ? 'wrong_answer' : 'malformed', packet);
    return false;
  }

  private refuse(why: SocketFault, packet?: Buffer): 0 {
    this.shared.counters[FAULT_COUNTED[why]] += 1;
    this.shared.refused?.(why, packet);
    // The answer to another version of MQTT is still sent.
    if (why === 'protocol') this.destroy();
    else this.destroy(why === 'wrong_answer' ? new WrongAnswer('QoS 2 answers to QoS 1') : new Error(why));
    return 0;
  }

  private hand(packets: Buffer): void {
    if (packets.length > 0) this.readerReady = this.push(packets);
  }
}
