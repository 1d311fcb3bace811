import { Duplex } from 'node:stream';
import { clock } from '../../core/clock.ts';
import type { BrokerCounters } from '../counters.ts';
import { ControlPace } from '../ingest/control-rate.ts';
import type { MemoryBudget } from '../ingest/memory-budget.ts';
import { type PublishBucket, ReadPace } from '../ingest/publish-rate.ts';
import type { PublishTaker } from '../ingest/taken-publish.ts';
import type { BrokerLimits } from '../limits.ts';
import type { IncomingConnection } from '../listeners/listener.ts';
import { isBestEffort, isConnect, isDisconnect, isPublish, isPubrel, packetLength } from './frame.ts';
import { PublishReader } from './publish-packet.ts';
import { FAULT_COUNTED, type SocketFault } from './socket-fault.ts';
import { faultOf, WrongAnswer } from './well-formed.ts';
import { AnswerWriter, endAfterLast, Pieces, PUBACK, PUBCOMP, PUBREC } from './wire.ts';

/** What a framed socket has of its broker. */
export interface SharedParts {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly budget: MemoryBudget;
  /** Whether the queue refuses at the moment. */
  readonly shut: () => boolean;
  /** Told why the client is closed, and over which packet, if it was a whole one. */
  readonly refused?: (why: SocketFault, packet?: Buffer) => void;
}

/** `pass`: to the library. `take`, `release`: to the taker. `drop`: a QoS 0 publish without room while the queue refuses. */
type PacketVerdict = 'pass' | 'take' | 'release' | 'drop' | 'wait';

const CONNACK_LEVEL = Buffer.from([0x20, 2, 0, 1]);
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
 * When the socket ends, the framed socket first passes on the packets that wait in it, and then ends too.
 */
export class FramedSocket extends Duplex {
  /** The client's connection: bytes, address and the name in its certificate. */
  readonly arrival: IncomingConnection;
  private readonly socket: Duplex;
  private readonly shared: SharedParts;
  private state: 'greeting' | 'checking' | 'open' = 'greeting';
  private readonly pieces = new Pieces();
  /** `receive` calls `flow` only when so many bytes are here: with fewer there is no whole packet. */
  private wanted = 2;
  private readerReady = false;
  private socketEnded = false;
  /** The client sent DISCONNECT: bytes behind it are ignored. */
  private disconnected = false;
  private inFlight = 0;
  /** Since when a publish has been waiting for room in the budget, monotonic ms; undefined when none waits. Only read it. */
  waitingSince: number | undefined;
  private flowing = false;
  private frozen = false;
  private blocked = false;
  private lastHeard = clock.passed();
  private readonly reader = new PublishReader();
  private readonly answers: AnswerWriter;
  private taker: PublishTaker | undefined;
  private pace: ReadPace | undefined;
  private readonly controls: ControlPace;

  constructor(arrival: IncomingConnection, shared: SharedParts) {
    super({ autoDestroy: true });
    const socket = arrival.wire;
    this.arrival = arrival;
    this.socket = socket;
    this.shared = shared;
    this.answers = new AnswerWriter(socket);
    this.controls = new ControlPace(this.flowWhenRoom, shared.counters);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.socketClosed());
    socket.on('drain', () => this.flowSoon());
  }

  /** Called when the client was let in. From now on its packets are passed on, and its publishes as fast as `bucket` fills. */
  open(bucket: PublishBucket, taker: PublishTaker): void {
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

  /** Sends PUBACK or PUBREC, in one write with the other answers of this turn of the event loop. */
  acknowledge(qos: 1 | 2, messageId: number): void {
    this.answers.add(qos === 1 ? PUBACK : PUBREC, messageId);
  }

  /** Sends PUBCOMP, likewise. */
  complete(messageId: number): void {
    this.answers.add(PUBCOMP, messageId);
  }

  /** Bytes of answers and commands that the client has not read. */
  get unreadBytes(): number {
    return this.writableLength + this.socket.writableLength;
  }

  /** Passes on no more packets; answers are still sent. */
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
    this.readerReady = true;
    this.flowSoon();
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // One write for all: a single acknowledgement is three chunks of one or two bytes.
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer', done);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    // A socket that has ended takes no more bytes: they are dropped, and the write counts as done.
    if (!this.socket.writable || this.socket.write(chunk)) done();
    else this.socket.once('drain', () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.shared.budget.cancelWait(this.flowWhenRoom);
    this.waitingSince = undefined;
    this.pace?.stop();
    this.controls.stop();
    this.dropBytes(this.pieces.size);
    if (error) this.socket.destroy();
    else {
      this.answers.write();
      endAfterLast(this.socket);
    }
    done(error);
  }

  private receive(chunk: Buffer): void {
    if (this.destroyed || this.disconnected) return;
    this.pieces.add(chunk);
    if (!this.shared.budget.addWaiting(chunk.length, this.pieces.size)) {
      this.shared.counters.closedOverMemory += 1;
      this.destroy(new Error('too many bytes are waiting'));
      return;
    }
    if (this.pieces.size >= this.wanted) this.flow();
  }

  private socketClosed(): void {
    this.socketEnded = true;
    // A publish that still waits for room is dropped: its client has gone and can get no acknowledgement.
    if (this.socket.errored || this.state !== 'open' || this.waitingSince !== undefined) this.destroy();
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
    const bytes = this.pieces.all();
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
    this.dropBytes(this.disconnected ? bytes.length : at);
    this.blocked = waits;
    if (at > 0) this.lastHeard = clock.passed();
    if (waits) this.socket.pause();
    else if (this.socketEnded) this.push(null);
    else this.socket.resume();
  }

  /** Drops the first `count` bytes, and no longer counts them as waiting. */
  private dropBytes(count: number): void {
    this.pieces.drop(count);
    this.shared.budget.removeWaiting(count);
  }

  /** Length of a whole packet at `at`; otherwise 0. Closes a connection that sends no MQTT or too large a packet. */
  private lengthAt(bytes: Buffer, at: number): number {
    const { limits } = this.shared;
    const length = packetLength(bytes, at);
    if (length === undefined) {
      this.wanted = bytes.length - at + 1;
      return 0;
    }
    if (Number.isNaN(length) || (this.state === 'greeting' && !isConnect(bytes[at]))) return this.refuse('not_mqtt');
    if (length > (this.state === 'greeting' ? limits.connectBytes : limits.packetBytes))
      return this.refuse('too_large');
    this.wanted = length;
    return bytes.length - at >= length ? length : 0;
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
    if (!budget.take(length)) {
      if (isBestEffort(firstByte) && shut()) {
        counters.droppedQos0 += 1;
        return 'drop';
      }
      this.waitingSince ??= clock.passed();
      budget.whenRoom(this.flowWhenRoom);
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

  /** Hands a publish over. False, and the connection is closed, when the publish breaks the rules of MQTT. */
  private isTaken(packet: Buffer): boolean {
    const publish = this.reader.read(packet);
    if (publish && this.taker) this.taker.take(publish, packet.length);
    else {
      this.shared.budget.give(packet.length);
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
