import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { itIfLong } from '../services/length.ts';
import { until } from '../services/wait.ts';
import { call, type LiveClient, PASSWORD, Place, reading } from './harness.ts';

const NEVER = 'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{';

describe('the door of the gateway', () => {
  let place: Place;
  let gateway: Gateway;
  const sockets = new Set<Socket>();
  let attacking = false;

  before(async () => {
    place = await Place.open();
    gateway = await place.gateway();
  });
  afterEach(async () => {
    attacking = false;
    for (const socket of sockets) socket.destroy();
    await until('all have gone', async () => (await open('loam_http_open_requests')) === 0);
  });
  after(() => place.close());

  function say(text: string, localAddress = '127.0.0.1'): Socket {
    const socket = connect({ port: gateway.port, host: '127.0.0.1', localAddress });
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    if (text !== '') socket.write(text);
    return socket;
  }
  /** Resolves with all that came when the connection is closed. */
  async function answerTo(socket: Socket): Promise<string> {
    let text = '';
    socket.on('data', (part: Buffer) => {
      text += part.toString();
    });
    await once(socket, 'close');
    return text;
  }
  /** Requests whose body never comes, `count` at a time from each of `addresses`; one that is ended is made again. */
  function attack(addresses: readonly string[], count: number): void {
    attacking = true;
    const hold = (from: string): void => {
      if (!attacking) return;
      say(NEVER, from)
        .on('data', () => {})
        .once('close', () => setTimeout(hold, 200, from));
    };
    for (const from of addresses) for (let i = 0; i < count; i++) hold(from);
  }
  const many = (count: number) => Array.from({ length: count }, (_, i) => `127.0.2.${i + 1}`);
  const open = async (name: string) =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await place.metrics.text())?.[1]);

  for (const addresses of [4, 40]) {
    it(`lets visitors in, and says that it lives, while bodies never come from ${addresses} addresses`, async () => {
      attack(many(addresses), 512 / addresses);
      await until('many are held', async () => (await open('loam_http_anonymous_requests')) >= 200);
      for (let i = 0; i < 10; i++) {
        expect((await call(gateway.port, '/healthz')).status).to.equal(200);
        expect((await call(gateway.port, '/readyz')).status).to.equal(200);
        expect((await call(gateway.port, '/api/me')).status).to.equal(401);
      }
      const cookie = await place.signIn(gateway, 'vera');
      expect((await call(gateway.port, '/api/farms', { headers: { cookie } })).status).to.equal(200);
      expect(await open('loam_http_anonymous_requests')).to.be.lessThan(260);
    });
  }

  it('lets those signed in come in from an address that holds all it may', async () => {
    const cookie = await place.signIn(gateway, 'vera');
    attack(['127.0.0.1'], 128);
    await until('many are held', async () => (await open('loam_http_anonymous_requests')) >= 60);
    for (let i = 0; i < 10; i++) {
      expect((await call(gateway.port, '/api/farms', { headers: { cookie } })).status).to.equal(200);
    }
  });

  it('counts a cookie that proves nothing as none', async () => {
    attacking = true;
    const never = NEVER.replace('Host: x', 'Host: x\r\nCookie: loam=a.b.c');
    for (let i = 0; i < 300; i++) say(never, `127.0.2.${1 + (i % 4)}`).on('data', () => {});
    await until('one was ended', async () =>
      (await place.metrics.text()).includes('loam_http_turned_away_total{why="room"}'),
    );
    expect((await call(gateway.port, '/api/me')).status).to.equal(401);
  });

  it('ends the request that has waited longest, of the address with most, and says when to come again', async () => {
    const first = say(NEVER, '127.0.2.1');
    const answer = answerTo(first);
    for (const from of many(4)) for (let i = 0; i < 63; i++) say(NEVER, from).resume();
    for (let i = 0; i < 10; i++) say(NEVER, '127.0.3.1').resume();
    const text = await answer;
    expect(text).to.match(/^HTTP\/1.1 503 /);
    expect(text.toLowerCase()).to.include('retry-after: 1');
    expect(text).to.include('"code":"busy"');
  });

  it('a user who asks for much is told so, and another one is not', async () => {
    const cookie = await place.signIn(gateway, 'vera');
    const other = await place.signIn(gateway, 'sam');
    const head = NEVER.replace('Host: x', `Host: x\r\nCookie: ${cookie}`);
    for (let i = 0; i < 64; i++) say(head, `127.0.2.${1 + (i % 8)}`).resume();
    await until('they are let in', async () => (await open('loam_http_open_requests')) === 64);
    await until('their sessions have proved good', async () => (await open('loam_http_anonymous_requests')) === 0);
    expect((await call(gateway.port, '/api/farms', { headers: { cookie } })).status).to.equal(503);
    expect((await call(gateway.port, '/api/farms', { headers: { cookie: other } })).status).to.equal(200);
    expect((await call(gateway.port, '/api/me')).status).to.equal(401);
  });

  it('always says whether it lives, however often it is asked', async () => {
    let answers = 0;
    const asked = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50);
    const socket = say('', '127.0.2.1');
    socket.on('data', (part: Buffer) => {
      answers += part.toString().split('HTTP/1.1 200').length - 1;
    });
    for (let i = 1; i <= 24; i++) {
      socket.write(asked);
      await until('all are answered', () => answers === 50 * i);
    }
    expect((await call(gateway.port, '/healthz')).status).to.equal(200);
  });

  itIfLong('ends headers and bodies that do not come in time', async () => {
    const [silent, headers, body] = [say(''), say('GET / HTTP/1.1\r\nHost: x\r\n'), say(NEVER)];
    const drip = setInterval(() => {
      if (headers.writable) headers.write('X-More: y\r\n');
      if (body.writable) body.write(' ');
    }, 500);
    const [nothing, toHeaders, toBody] = await Promise.all([answerTo(silent), answerTo(headers), answerTo(body)]);
    clearInterval(drip);
    expect(nothing + toHeaders).to.equal('');
    expect(toBody).to.match(/^HTTP\/1.1 408 /);
  });

  it('closes the socket of a viewer that floods it with pings, and no other', async () => {
    const calm = await place.watching(gateway, 'vera');
    calm.say({ type: 'subscribe', id: 1, farm: 'north' });
    await calm.next('snapshot');
    for (const flood of ['ping', 'pong'] as const) {
      const viewer: LiveClient = await place.watching(gateway, 'vera');
      for (let i = 0; i < 500; i++) viewer.socket[flood]();
      expect((await viewer.ended()).code).to.equal(1008);
    }
    await place.announce([reading()]);
    await calm.next('readings');
  });

  itIfLong('answers a sign-in from an address that behaves while ten addresses guess', async () => {
    const guess = JSON.stringify({ user: 'ada', password: 'wrong' });
    const head = NEVER.slice(0, -1).replace('Length: 100', `Length: ${guess.length}`);
    let answered = 0;
    const guesses = many(10).flatMap((from) => [1, 2, 3].map(() => say(head + guess, from)));
    for (const socket of guesses) socket.once('data', () => answered++);
    await until('all wait for their turn', async () => (await open('loam_http_open_requests')) + answered >= 30);
    const body = { user: 'vera', password: PASSWORD };
    const answer = await call(gateway.port, '/api/login', { method: 'POST', body });
    expect(answer.status).to.equal(200);
    // One of each other address may have been before it.
    expect(answered).to.be.lessThan(30);
    await until('all are answered', () => answered === 30);
  });
});
