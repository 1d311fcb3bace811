import { connect, type Socket } from 'node:net';

/** Connections that never say a word, and the address they come from. */
export const SILENT = 500;
const SILENT_ADDRESS = '127.0.0.2';

/** Connections that are made and then say nothing. */
export class Silent {
  private readonly sockets: readonly Socket[];
  left = SILENT;

  private constructor(sockets: readonly Socket[]) {
    this.sockets = sockets;
    for (const socket of sockets) socket.on('close', () => this.left--);
  }

  static async open(port: number): Promise<Silent> {
    const opened = Array.from({ length: SILENT }, () => openSilent(port));
    return new Silent(await Promise.all(opened));
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

function openSilent(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: SILENT_ADDRESS });
    socket.once('connect', () => resolve(socket));
    socket.on('error', reject);
    socket.resume();
  });
}
