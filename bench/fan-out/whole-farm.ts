import { WebSocket } from 'ws';
import { parseServerMessage } from '../../client/messages.ts';

/** A viewer of a whole farm that reads as a page does. */
export class WholeFarm {
  private readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
  }

  /** Resolves when it has its snapshot. `onRow` is given the time of each reading that comes. */
  static open(http: string, cookie: string, farm: string, onRow: (ts: number) => void): Promise<WholeFarm> {
    const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`, ['loam.v1'], { headers: { cookie } });
    return new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('open', () => socket.send(JSON.stringify({ type: 'subscribe', id: 1, farm })));
      socket.on('message', (data) => {
        const message = parseServerMessage(String(data));
        if (message?.type === 'snapshot') resolve(new WholeFarm(socket));
        if (message?.type === 'readings') for (const { ts } of message.rows) onRow(ts);
      });
    });
  }

  close(): void {
    this.socket.terminate();
  }
}
