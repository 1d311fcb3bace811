import { WebSocket } from 'ws';
import { z } from 'zod';
import { FARM } from './farm.ts';

/** What a gateway published, tick by tick: when, ms after the recording began, and the frames. */
export const recording = z.object({
  /** When it began, Unix ms. */
  begin: z.number(),
  rounds: z.array(
    z.object({
      at: z.number(),
      tick: z.string(),
      frames: z.array(z.object({ field: z.string(), text: z.string() })),
    }),
  ),
});
export type Recording = z.infer<typeof recording>;
type Round = Recording['rounds'][number];

const frame = z.object({ type: z.string(), field: z.string().optional() });

/** Writes down what a viewer of the whole farm gets: as many frames of a field as its own viewers get, at the end of each tick. */
export class Recorder {
  private readonly begin = Date.now();
  private readonly rounds: Round[] = [];
  private readonly socket: WebSocket;
  private frames: Round['frames'] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => this.take(String(data)));
  }

  static async open(port: number, headers: Record<string, string>): Promise<Recorder> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ['loam.v1'], { headers });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    socket.send(JSON.stringify({ type: 'subscribe', id: 0, farm: FARM }));
    return new Recorder(socket);
  }

  end(): Recording {
    this.socket.terminate();
    return { begin: this.begin, rounds: this.rounds };
  }

  private take(text: string): void {
    const { type, field } = frame.parse(JSON.parse(text));
    if (type === 'readings' && field !== undefined) this.frames.push({ field, text });
    if (type !== 'tick' || this.frames.length === 0) return;
    this.rounds.push({ at: Date.now() - this.begin, tick: text, frames: this.frames });
    this.frames = [];
  }
}
