import { Duplex } from 'node:stream';
import { writeTo } from './wire.ts';

/** A socket whose bytes are looked at on their way in. What goes out is passed on as it is. */
export abstract class FilteredSocket extends Duplex {
  private readonly wire: Duplex;

  constructor(wire: Duplex) {
    super({ autoDestroy: true, allowHalfOpen: true });
    this.wire = wire;
    wire.on('data', (chunk: Buffer) => this.receive(chunk));
    wire.on('end', () => this.push(null));
    wire.on('error', (error) => this.destroy(error));
    wire.on('close', () => this.destroy());
    wire.pause();
  }

  override _read(): void {
    this.wire.resume();
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    writeTo(this.wire, Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    writeTo(this.wire, chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.wire.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.wire.destroy();
    done(error);
  }

  /** Takes bytes as if they came over the socket. */
  protected receive(chunk: Buffer): void {
    if (this.destroyed) return;
    const parts = this.passOn(chunk);
    if (parts.length > 0 && !this.push(parts.length === 1 ? parts[0] : Buffer.concat(parts))) this.wire.pause();
  }

  /** What is passed on now, of what came before and `chunk`. May destroy the socket. */
  protected abstract passOn(chunk: Buffer): Buffer[];
}
