import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import { retryDelay } from '../../dashboard-gateway/web/live/backoff.ts';
import {
  type Line,
  type LineHandlers,
  LiveClient,
  type LiveState,
  SESSION_ENDED,
} from '../../dashboard-gateway/web/live/client.ts';
import { type ServerMessage, SUBPROTOCOL } from '../../dashboard-gateway/web/live/messages.ts';
import { until } from '../services/wait.ts';

describe('web: the wait before the next try', () => {
  it('spreads over everything from nothing to a limit that doubles', () => {
    expect(retryDelay(0, () => 0)).to.equal(0);
    expect(retryDelay(0, () => 1)).to.equal(500);
    expect(retryDelay(3, () => 1)).to.equal(4000);
  });

  it('never grows beyond half a minute', () => {
    expect(retryDelay(50, () => 1)).to.equal(30_000);
    expect(retryDelay(100_000, () => 1)).to.equal(30_000);
  });
});

describe('web: the live client', () => {
  let server: WebSocketServer;
  let clients: LiveClient[];
  /** Everything that clients said, and the sockets on which they are, in order. */
  let said: Record<string, unknown>[];
  let sockets: WebSocket[];

  beforeEach(async () => {
    clients = [];
    said = [];
    sockets = [];
    server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (socket) => {
      sockets.push(socket);
      socket.on('message', (data) => said.push(JSON.parse(String(data))));
    });
    await once(server, 'listening');
  });

  afterEach(async () => {
    for (const client of clients) client.stop();
    for (const socket of server.clients) socket.terminate();
    await new Promise((done) => server.close(done));
  });

  function follow(farm: string, options: { random?: () => number } = {}) {
    const messages: ServerMessage[] = [];
    const states: LiveState[] = [];
    const lost: boolean[] = [];
    const { port } = server.address() as AddressInfo;
    const client = new LiveClient({
      dial: (handlers) => dial(port, handlers),
      onMessage: (m) => messages.push(m),
      onState: (s) => states.push(s),
      onLost: (ended) => lost.push(ended),
      random: options.random ?? (() => 0),
    });
    clients.push(client);
    client.watch(farm);
    return { client, messages, states, lost };
  }

  const say = (message: unknown) => sockets.at(-1)?.send(JSON.stringify(message));
  const heard = (count: number) => until(`${count} messages of the client`, () => said.length >= count);
  const phase = (client: LiveClient, wanted: LiveState['phase']) =>
    until(`phase ${wanted}`, () => client.state.phase === wanted);
  const snapshot = (id: unknown, seq: number) => ({ type: 'snapshot', id, epoch: 'e1', seq, sensors: [] });

  it('subscribes to its farm and is live from the first snapshot on', async () => {
    const { client, states } = follow('north');
    await heard(1);
    expect(said[0]).to.deep.equal({ type: 'subscribe', id: 1, farm: 'north' });
    expect(client.state.phase).to.equal('catching-up');
    say(snapshot(1, 5));
    await phase(client, 'live');
    expect(states.map((s) => s.phase)).to.deep.equal(['connecting', 'catching-up', 'live']);
  });

  it('comes back after a lost connection and goes on from the last tick', async () => {
    const { client } = follow('north');
    await heard(1);
    say(snapshot(1, 5));
    say({ type: 'tick', farm: 'north', seq: 9 });
    say({ type: 'gap', id: 1 });
    sockets.at(-1)?.close();
    await heard(2);
    expect(said[1]).to.deep.equal({ type: 'subscribe', id: 2, farm: 'north', since: { epoch: 'e1', seq: 9 } });
    say({ type: 'tick', farm: 'north', seq: 10 });
    await phase(client, 'live');
  });

  it('tells of a gap, and before it calls itself live of the snapshot', async () => {
    const { client, messages, states } = follow('north');
    await heard(1);
    say({ type: 'gap', id: 1 });
    say(snapshot(1, 5));
    await phase(client, 'live');
    expect(messages.map((m) => m.type)).to.deep.equal(['gap', 'snapshot']);
    expect(states.at(-1)).to.deep.equal({ phase: 'live', tickMs: undefined });
  });

  it('drops what belongs to another farm or to an earlier subscription', async () => {
    const { client, messages } = follow('north');
    await heard(1);
    client.watch('south');
    await heard(3);
    expect(said.slice(1)).to.deep.equal([
      { type: 'unsubscribe', id: 1 },
      { type: 'subscribe', id: 2, farm: 'south' },
    ]);
    say(snapshot(1, 5));
    say({ type: 'readings', farm: 'north', field: 'f1', rows: [] });
    say({ type: 'tick', farm: 'north', seq: 6 });
    say(snapshot(2, 7));
    await phase(client, 'live');
    expect(messages.map((m) => m.type)).to.deep.equal(['snapshot']);
  });

  it('counts what it cannot read and goes on', async () => {
    const { client } = follow('north');
    await heard(1);
    sockets.at(-1)?.send('{');
    say({ type: 'tick', farm: 'north', seq: 'x' });
    say(snapshot(1, 5));
    await phase(client, 'live');
    expect(client.unreadable).to.equal(2);
  });

  it('waits for the store without breaking the connection', async () => {
    const { client } = follow('north');
    await heard(1);
    say({ type: 'error', id: 1, code: 'store-unavailable', message: 'away' });
    await until('it says so', () => client.state.phase === 'catching-up' && client.state.storeAway);
    say(snapshot(1, 5));
    await phase(client, 'live');
    expect(sockets).to.have.length(1);
  });

  it('does not ask again for a farm that it was refused, until it is told to', async () => {
    const { client } = follow('north');
    await heard(1);
    say({ type: 'error', id: 1, code: 'forbidden', message: 'no' });
    await phase(client, 'refused');
    client.wake();
    expect(client.state.phase).to.equal('refused');
    client.watch('north');
    await heard(2);
  });

  it('waits before it tries again, and ends the wait at once when the device wakes up', async () => {
    const { client } = follow('north', { random: () => 1 });
    await heard(1);
    for (let tries = 1; tries < 4; tries++) {
      sockets.at(-1)?.terminate();
      await phase(client, 'waiting');
      client.wake();
      await heard(tries + 1);
    }
    sockets.at(-1)?.terminate();
    await phase(client, 'waiting');
    const { state } = client;
    // Waking up began the waits anew: without it this one would last four seconds.
    expect(state.phase === 'waiting' && state.retryAt - Date.now()).to.be.within(1, 500);
  });

  it('says since when it is offline, through every further try', async () => {
    const { client, states } = follow('north');
    await heard(1);
    say(snapshot(1, 5));
    await phase(client, 'live');
    sockets.at(-1)?.terminate();
    await heard(2);
    sockets.at(-1)?.terminate();
    await heard(3);
    const since = states.flatMap((s) => ('lostAt' in s && s.lostAt !== undefined ? [s.lostAt] : []));
    expect(since.length).to.be.above(3);
    expect(new Set(since).size).to.equal(1);
  });

  it('tells that the session ended when the server closes for that', async () => {
    const { lost } = follow('north', { random: () => 1 });
    await heard(1);
    sockets.at(-1)?.close(SESSION_ENDED);
    await until('the loss', () => lost.length > 0);
    expect(lost).to.deep.equal([true]);
  });

  it('is still after stop: no further try, no message', async () => {
    const { client, messages } = follow('north');
    await heard(1);
    const socket = sockets.at(-1);
    client.stop();
    say(snapshot(1, 5));
    if (socket && socket.readyState !== WebSocket.CLOSED) await once(socket, 'close');
    expect(client.state.phase).to.equal('idle');
    expect(messages).to.deep.equal([]);
    expect(sockets).to.have.length(1);
  });
});

/** The browser's dialling, with a WebSocket for Node. */
function dial(port: number, handlers: LineHandlers): Line {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, SUBPROTOCOL);
  let over = false;
  socket.on('open', () => over || handlers.opened());
  socket.on('message', (data) => over || handlers.message(String(data)));
  // A failed connection is told by `close` as well.
  socket.on('error', () => undefined);
  socket.on('close', (code) => {
    if (over) return;
    over = true;
    handlers.closed(code);
  });
  return {
    send: (text) => socket.send(text),
    close: () => {
      over = true;
      socket.close();
    },
  };
}
