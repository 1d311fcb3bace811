import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface Dialled {
  readonly port: number;
  readonly path: string;
  readonly cookie: string;
  /** Where from: one address has no more ports than 28,000. */
  readonly localAddress: string;
}

// One buffer for all: what is read is looked at before the next read.
const shared = Buffer.alloc(256 * 1024);

/**
 * A WebSocket that costs as little as a viewer can, since there are thousands in one process: it counts frames by their headers,
 * and gives the text of those that somebody wants to see. Server frames are short texts; anything else than texts is passed over.
 */
export class ViewerSocket {
  frames = 0;
  bytes = 0;
  private readonly socket: Socket;
  private readonly onText: ((text: string) => void) | undefined;
  private opened: (() => void) | undefined;
  private rest: Buffer = Buffer.alloc(0);
  private skip = 0;
  private isOpen = false;
  private farewell = '';

  private constructor(dialled: Dialled, onText: ((text: string) => void) | undefined, failed: (why: string) => void) {
    this.onText = onText;
    const { port, localAddress } = dialled;
    const onread = { buffer: shared, callback: (length: number) => this.read(length) };
    this.socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true, onread });
    this.socket.on('error', (error) => failed(String(error)));
    this.socket.on('close', () => failed(`closed after ${this.frames} frames and ${this.bytes} bytes${this.farewell}`));
    this.socket.once('connect', () => this.socket.write(handshake(dialled)));
  }

  /** Resolves when it is open; `failed` is called should it ever end, unless it was ended here. */
  static open(
    dialled: Dialled,
    onText?: (text: string) => void,
    failed: (why: string) => void = () => {},
  ): Promise<ViewerSocket> {
    return new Promise((resolve, reject) => {
      const socket: ViewerSocket = new ViewerSocket(dialled, onText, (why) => {
        reject(new Error(why));
        failed(why);
      });
      socket.opened = () => resolve(socket);
    });
  }

  send(text: string): void {
    const body = Buffer.from(text);
    // A mask of zeros leaves the text as it is.
    this.socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]));
  }

  /** Reads nothing until `readOn`. */
  stall(): void {
    this.socket.pause();
  }

  readOn(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.removeAllListeners('close');
    this.socket.destroy();
  }

  private read(length: number): boolean {
    this.bytes += length;
    let chunk = shared.subarray(0, length);
    if (!this.isOpen) {
      const head = Buffer.concat([this.rest, chunk]);
      const end = head.indexOf('\r\n\r\n');
      this.rest = head;
      if (end < 0) return true;
      if (!head.toString('latin1', 0, 16).includes(' 101 ')) {
        this.socket.destroy(new Error(head.toString('latin1', 0, end)));
        return true;
      }
      this.isOpen = true;
      this.opened?.();
      this.rest = Buffer.alloc(0);
      chunk = head.subarray(end + 4);
    }
    this.take(chunk);
    return true;
  }

  private take(chunk: Buffer): void {
    let data = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    let at = Math.min(this.skip, data.length);
    this.skip -= at;
    while (this.skip === 0 && data.length - at >= 2) {
      const short = (data[at + 1] ?? 0) & 0x7f;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (data.length - at < header) break;
      const length = short < 126 ? short : short === 126 ? data.readUInt16BE(at + 2) : data.readUInt32BE(at + 6);
      const kind = (data[at] ?? 0) & 0x0f;
      const isText = kind === 1;
      const isWhole = data.length - at - header >= length;
      if (this.onText && isText && !isWhole) break;
      if (kind === 8 && isWhole && length >= 2)
        this.farewell = `: ${data.readUInt16BE(at + header)} ${data.toString('utf8', at + header + 2, at + header + length)}`;
      if (isText) this.frames++;
      if (this.onText && isText) this.onText(data.toString('utf8', at + header, at + header + length));
      at += header;
      const here = Math.min(length, data.length - at);
      at += here;
      this.skip = length - here;
    }
    data = data.subarray(at);
    // The shared buffer is written to again after this call.
    this.rest = data.length > 0 ? Buffer.from(data) : data;
  }
}

function handshake({ path, cookie }: Dialled): string {
  return [
    `GET ${path} HTTP/1.1`,
    'host: 127.0.0.1',
    'upgrade: websocket',
    'connection: upgrade',
    `sec-websocket-key: ${randomBytes(16).toString('base64')}`,
    'sec-websocket-version: 13',
    'sec-websocket-protocol: loam.v1',
    `cookie: ${cookie}`,
    '',
    '',
  ].join('\r\n');
}
