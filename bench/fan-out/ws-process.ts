import { readFile } from 'node:fs/promises';
import { WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { answerCalls, usageNow } from './child.ts';
import { recording } from './recording.ts';

/**
 * A plain `ws` server: each recorded frame, made once, is sent to every socket that watches its field, in a loop, at the moment of
 * the run when Loam sent it.
 */
const subscribe = z.object({ fields: z.tuple([z.string()]) });
const watchers = new Map<string, Set<WebSocket>>();

answerCalls({
  start: async () => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, clientTracking: false });
    server.on('connection', (socket) => {
      socket.on('message', (data) => watch(socket, subscribe.parse(JSON.parse(String(data))).fields[0]));
      socket.on('error', () => {});
    });
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  },
  /** Plays a recording; resolves with when it began, Unix ms, as soon as it does. */
  play: async (file) => {
    const { rounds } = recording.parse(JSON.parse(await readFile(z.string().parse(file), 'utf8')));
    const begin = Date.now();
    const rest = rounds.map(({ at, tick, frames }) => ({
      at,
      tick: Buffer.from(tick),
      frames: frames.map(({ field, text }) => ({ field, text: Buffer.from(text) })),
    }));
    const next = () => {
      for (let round = rest[0]; round && begin + round.at <= Date.now(); round = rest[0]) {
        rest.shift();
        for (const { field, text } of round.frames) send(field, text);
        for (const { field } of round.frames) send(field, round.tick);
      }
      if (rest[0]) setTimeout(next, Math.max(0, begin + rest[0].at - Date.now()));
    };
    next();
    return begin;
  },
  usage: usageNow,
});

function watch(socket: WebSocket, field: string): void {
  const ofField = watchers.get(field) ?? new Set();
  watchers.set(field, ofField.add(socket));
  socket.send(JSON.stringify({ type: 'snapshot' }));
}

function send(field: string, text: Buffer): void {
  for (const socket of watchers.get(field) ?? []) {
    if (socket.readyState === WebSocket.OPEN) socket.send(text, { binary: false });
  }
}
