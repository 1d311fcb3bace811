import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What a line is like that is neither whole nor cut. */
export interface BadLine {
  /** Each way, of each connection. */
  readonly bytesPerS?: number;
  /** After so many bytes from the client the server's are not passed on any more, though the line stays open. */
  readonly silentAfter?: number;
  /** After so many bytes from the client the connection is broken, wherever that is in what was being sent. */
  readonly cutAfter?: number;
}

/** A TCP proxy on loopback in front of a server there. */
export async function startBadLine(
  targetPort: number,
  manner: BadLine,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    const end = () => {
      client.destroy();
      target.destroy();
      sockets.delete(client);
      sockets.delete(target);
    };
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', end).on('close', end);
    }
    let sent = 0;
    void pass(client, target, manner, (bytes) => {
      sent += bytes.length;
      const over = sent - (manner.cutAfter ?? Number.POSITIVE_INFINITY);
      if (over < 0) return bytes;
      target.write(bytes.subarray(0, bytes.length - over));
      end();
      return undefined;
    }).catch(end);
    const isMute = () => sent > (manner.silentAfter ?? Number.POSITIVE_INFINITY);
    void pass(target, client, manner, (bytes) => (isMute() ? undefined : bytes)).catch(end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address with a port');
  return {
    port: address.port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Passes bytes on as fast as the line is; `through` says what becomes of them. */
async function pass(
  from: Socket,
  to: Socket,
  { bytesPerS }: BadLine,
  through: (bytes: Buffer) => Buffer | undefined,
): Promise<void> {
  for await (const bytes of from) {
    if (!Buffer.isBuffer(bytes)) continue;
    const passed = through(bytes);
    if (passed === undefined) continue;
    if (!to.write(passed)) await Promise.race([drained(to), closed(to)]);
    if (bytesPerS !== undefined) await delay((1_000 * passed.length) / bytesPerS);
  }
  to.end();
}

const drained = (socket: Socket) => new Promise((resolve) => socket.once('drain', resolve));
const closed = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve));
