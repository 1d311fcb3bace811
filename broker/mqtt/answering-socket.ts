import { Duplex } from 'node:stream';
import { AnswerWriter, endAfterLast, PUBACK, PUBCOMP, PUBREC, writeTo } from './wire.ts';

/** A client's socket: what goes to it, packets of the MQTT library and the answers to its publishes, and whether it is read. */
export abstract class AnsweringSocket extends Duplex {
  protected readonly socket: Duplex;
  /** Whether its socket is not read. */
  protected blocked = false;
  private readonly answers: AnswerWriter;

  constructor(socket: Duplex) {
    super({ autoDestroy: true });
    this.socket = socket;
    this.answers = new AnswerWriter(socket);
  }

  /** Sends PUBACK or PUBREC, in one write with the other answers of this turn of the event loop. */
  acknowledge(qos: 1 | 2, messageId: number): void {
    this.answers.add(qos === 1 ? PUBACK : PUBREC, messageId);
  }

  /** Sends PUBCOMP, likewise. */
  complete(messageId: number): void {
    this.answers.add(PUBCOMP, messageId);
  }

  /** Reads on, or not until it is called again. */
  protected readOn(isBlocked: boolean): void {
    this.blocked = isBlocked;
    if (isBlocked) this.socket.pause();
    else this.socket.resume();
  }

  /** Bytes of answers and commands that the client has not read. */
  get unreadBytes(): number {
    return this.writableLength + this.socket.writableLength;
  }

  /** Closes the socket too, whether or not the client has read its last answers. */
  cut(): void {
    this.destroy();
    this.socket.destroy();
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // One write for all: a single acknowledgement is three chunks of one or two bytes.
    writeTo(this.socket, Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    writeTo(this.socket, chunk, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (error) this.socket.destroy();
    else {
      this.answers.write();
      endAfterLast(this.socket);
    }
    done(error);
  }
}
