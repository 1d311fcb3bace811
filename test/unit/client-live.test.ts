import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import { retryDelay } from '../../client/backoff.ts';
import { LiveClient, type LiveClientOptions, SESSION_ENDED } from '../../client/client.ts';
import { dialWith } from '../../client/connection.ts';
import type { LiveState } from '../../client/events.ts';
import type { ServerMessage } from '../../client/messages.ts';
import { until } from '../services/wait.ts';

describe('client: the wait before the next try', () => {
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

describe('client: the live client', () => {
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

  function follow(farm: string, options: Partial<LiveClientOptions> = {}, fields?: string[]) {
    const messages: ServerMessage[] = [];
    const states: LiveState[] = [];
    const lost: boolean[] = [];
    const { port } = server.address() as AddressInfo;
    const client = new LiveClient({
      dial: dialWith((address, protocol) => new WebSocket(address, protocol), `ws://127.0.0.1:${port}/ws`),
      random: () => 0,
      ...options,
    });
    client.on('message', (m) => messages.push(m));
    client.on('state', (s) => states.push(s));
    client.on('lost', ({ sessionEnded }) => lost.push(sessionEnded));
    clients.push(client);
    client.watch(farm, fields);
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

  it('hands rows on with their tick, and drops those whose tick was lost: they come again', async () => {
    const { client, messages } = follow('north');
    const row = (ts: number) => ({ type: 'readings', farm: 'north', field: 'f1', rows: [['s1', 'moisture', ts, 1]] });
    await heard(1);
    say(snapshot(1, 5));
    say(row(1));
    say({ type: 'status', farm: 'north', sensor: 's1', state: 'offline', since: 1 });
    say({ type: 'tick', farm: 'north', seq: 6 });
    say(row(2));
    // Behind the rows without a tick, so that the client has them for certain.
    say({ type: 'degraded', tickMs: 500 });
    await until('it says so', () => client.state.phase === 'live' && client.state.tickMs === 500);
    sockets.at(-1)?.terminate();
    await heard(2);
    expect(said[1]).to.deep.include({ since: { epoch: 'e1', seq: 6 } });
    say(row(2));
    say({ type: 'tick', farm: 'north', seq: 7 });
    await phase(client, 'live');
    const told = messages.filter((m) => m.type !== 'degraded');
    expect(told.map((m) => m.type)).to.deep.equal(['snapshot', 'readings', 'status', 'tick', 'readings', 'tick']);
    expect(told.flatMap((m) => (m.type === 'readings' ? m.rows.map((r) => r.ts) : []))).to.deep.equal([1, 2]);
  });

  it('shows rows without a tick when they are more than any server sends before one', async () => {
    const { messages } = follow('north');
    const rows = Array.from({ length: 20_001 }, (_, i) => ['s1', 'moisture', i, 1]);
    await heard(1);
    say(snapshot(1, 5));
    say({ type: 'readings', farm: 'north', field: 'f1', rows });
    say({ type: 'readings', farm: 'north', field: 'f1', rows });
    await until('the rows', () => messages.length >= 3);
    expect(messages.map((m) => m.type)).to.deep.equal(['snapshot', 'readings', 'readings']);
  });

  it('counts the rows without a tick from each tick anew', async () => {
    const { messages } = follow('north');
    const rows = Array.from({ length: 15_000 }, (_, i) => ['s1', 'moisture', i, 1]);
    await heard(1);
    say(snapshot(1, 5));
    for (let seq = 6; seq < 9; seq++) {
      say({ type: 'readings', farm: 'north', field: 'f1', rows });
      say({ type: 'tick', farm: 'north', seq });
    }
    say({ type: 'readings', farm: 'north', field: 'f1', rows });
    say({ type: 'degraded', tickMs: 500 });
    await until('it has them all', () => messages.at(-1)?.type === 'degraded');
    const told = messages.map((m) => m.type);
    expect(told.filter((type) => type === 'readings')).to.have.length(3);
    expect(told.slice(-2)).to.deep.equal(['tick', 'degraded']);
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
    const { client, states } = follow('north', { random: () => 1 });
    const waits = () => states.flatMap((state) => (state.phase === 'waiting' ? [state.retryAt] : []));
    await heard(1);
    for (let tries = 1; tries < 4; tries++) {
      sockets.at(-1)?.terminate();
      await until('it waits', () => waits().length >= tries);
      client.wake();
      await heard(tries + 1);
    }
    sockets.at(-1)?.terminate();
    await until('it waits', () => waits().length >= 4);
    // Waking up began the waits anew: without it this one would last four seconds.
    expect((waits().at(-1) ?? 0) - Date.now()).to.be.below(1_000);
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

  it('follows only the fields that it was given', async () => {
    const { client } = follow('north', {}, ['f1', 'f2']);
    await heard(1);
    expect(said[0]).to.deep.equal({ type: 'subscribe', id: 1, farm: 'north', fields: ['f1', 'f2'] });
    client.watch('north', ['f2', 'f1']);
    await heard(3);
    expect(said[2]).to.deep.equal({ type: 'subscribe', id: 2, farm: 'north', fields: ['f2', 'f1'] });
  });

  it('tells that the server sends less often, until it is live anew', async () => {
    const { client } = follow('north');
    await heard(1);
    say(snapshot(1, 5));
    say({ type: 'degraded', tickMs: 500 });
    await until('it says so', () => client.state.phase === 'live' && client.state.tickMs === 500);
  });

  it('asks a silent line for a sign of life, and stays when there is one', async () => {
    const { client } = follow('north', { silentMs: 40, answerMs: 60_000 });
    await heard(1);
    say(snapshot(1, 5));
    await heard(2);
    expect(said[1]).to.deep.equal({ type: 'unsubscribe', id: 0 });
    say({ type: 'error', id: 0, code: 'unknown-subscription', message: '' });
    await heard(3);
    expect(client.state.phase).to.equal('live');
    expect(sockets).to.have.length(1);
  });

  it('leaves a line that gives no sign of life though nobody closed it', async () => {
    const { states } = follow('north', { silentMs: 40, answerMs: 1_000 });
    await heard(1);
    say(snapshot(1, 5));
    await until('a second connection', () => sockets.length > 1);
    expect(states.map((s) => s.phase)).to.include.members(['live', 'waiting']);
  });

  it('replaces a silent line at once when the clock shows that the machine slept', async () => {
    const { client, states } = follow('north', { silentMs: 30_000, answerMs: 40 });
    await heard(1);
    say(snapshot(1, 5));
    await phase(client, 'live');
    const { now } = Date;
    Date.now = () => now() + 3_600_000;
    try {
      await until('a second connection', () => sockets.length > 1);
    } finally {
      Date.now = now;
    }
    await heard(2);
    expect(states.map((s) => s.phase)).not.to.include('waiting');
    expect(said[1]).to.deep.include({ type: 'subscribe', since: { epoch: 'e1', seq: 5 } });
  });

  it('tells each listener until it has had enough', async () => {
    const { client } = follow('north');
    const seqs: number[] = [];
    const end = client.on('tick', ({ seq }) => {
      seqs.push(seq);
      end();
    });
    await heard(1);
    say(snapshot(1, 5));
    say({ type: 'tick', farm: 'north', seq: 6 });
    say({ type: 'tick', farm: 'north', seq: 7 });
    say({ type: 'gap', id: 1 });
    await new Promise<void>((done) => client.on('gap', () => done()));
    expect(seqs).to.deep.equal([6]);
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
