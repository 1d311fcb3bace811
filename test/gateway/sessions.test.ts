import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { LogUnavailable } from '../../core/errors.ts';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { LONGEST_SESSION_MS } from '../../dashboard-gateway/sign-in/sessions.ts';
import { until } from '../services/wait.ts';
import { type Answer, call, cookieOf, overlay, PASSWORD, Place, problemCode } from './harness.ts';

const HOUR = 3_600_000;

interface ListedSession {
  readonly id: string;
  readonly by: string;
  readonly agent: string;
  readonly from: string;
  readonly current: boolean;
  readonly used: number;
}

const UPGRADE =
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

describe('sign-in sessions', () => {
  let place: Place;
  let gateways: Gateway[];

  beforeEach(async () => {
    place = await Place.open();
    gateways = [await place.gateway(), await place.gateway()];
  });

  afterEach(() => place.close());

  const port = (gateway: number) => gateways[gateway]?.port ?? 0;
  const signIn = async (gateway: number, agent = 'Firefox', user = 'vera'): Promise<string> => {
    const answer = await call(port(gateway), '/api/login', {
      method: 'POST',
      body: { user, password: PASSWORD },
      headers: { 'user-agent': agent },
    });
    return cookieOf(answer);
  };
  const ask = (gateway: number, cookie: string, method = 'GET', path = ''): Promise<Answer> =>
    call(port(gateway), `/api/me${path}`, { method, headers: { cookie }, ...(method === 'GET' ? {} : { body: {} }) });
  const list = async (gateway: number, cookie: string): Promise<ListedSession[]> =>
    JSON.parse((await ask(gateway, cookie, 'GET', '/sessions')).text).sessions;
  const isIn = async (gateway: number, cookie: string) => (await ask(gateway, cookie)).status === 200;
  const signOut = (gateway: number, cookie: string) =>
    call(port(gateway), '/api/logout', { method: 'POST', body: {}, headers: { cookie } });

  it('end on every gateway when they are signed out: a copy of the cookie is good for nothing, and sockets are closed', async () => {
    const [one, other] = [await signIn(0), await signIn(1)];
    const [first, second] = gateways;
    if (!first || !second) throw new Error('no gateways');
    const sockets = [await place.connect(first, { cookie: one }), await place.connect(second, { cookie: one })];
    const spared = await place.connect(second, { cookie: other });
    expect((await signOut(0, one)).status).to.equal(204);
    expect(problemCode(await ask(0, one))).to.equal('not-signed-in');
    await until('the other gateway knows', async () => !(await isIn(1, one)));
    for (const socket of sockets) await until('its socket is closed', () => socket.closed?.code === 4401);
    expect(spared.closed).to.equal(undefined);
    expect(await isIn(0, other)).to.equal(true);
    // Signing out again, or with nothing, harms nobody.
    expect((await signOut(1, one)).status).to.equal(204);
    expect((await signOut(1, '')).status).to.equal(204);
    expect(await isIn(0, other)).to.equal(true);
  });

  it('are listed for their owner with where they are from, and ended one by one, or all others at once', async () => {
    const [phone, desk] = [await signIn(0, 'Phone'), await signIn(1, 'Desk')];
    const sam = await signIn(0, 'Sam', 'sam');
    const token = JSON.parse(
      (
        await call(port(0), '/api/login', {
          method: 'POST',
          body: { user: 'vera', password: PASSWORD, answer: 'token' },
          headers: { 'user-agent': 'script' },
        })
      ).text,
    ).token;
    const all = await until('all are heard of', async () => {
      const found = await list(1, desk);
      return found.length === 3 && found;
    });
    expect(all.map(({ agent, by, current, from }) => [agent, by, current, from])).to.have.deep.members([
      ['Phone', 'browser', false, '127.0.0.1'],
      ['Desk', 'browser', true, '127.0.0.1'],
      ['script', 'program', false, '127.0.0.1'],
    ]);
    const lost = all.find(({ agent }) => agent === 'Phone')?.id ?? '';
    expect(problemCode(await ask(0, sam, 'DELETE', `/sessions/${lost}`))).to.equal('not-found');
    expect(await isIn(0, phone)).to.equal(true);
    expect((await ask(1, desk, 'DELETE', `/sessions/${lost}`)).status).to.equal(204);
    await until('the phone is out everywhere', async () => !(await isIn(0, phone)) && !(await isIn(1, phone)));
    expect((await call(port(0), '/api/me', { headers: { authorization: `Bearer ${token}` } })).status).to.equal(200);
    expect((await ask(1, desk, 'DELETE', '/sessions')).status).to.equal(204);
    await until('the program is out', async () => {
      return (await call(port(0), '/api/me', { headers: { authorization: `Bearer ${token}` } })).status === 401;
    });
    expect((await list(1, desk)).map(({ agent }) => agent)).to.deep.equal(['Desk']);
    expect(await isIn(0, sam)).to.equal(true);
    // What a browser calls itself is kept in memory, for each session. Headers of more than 4 KiB some builds of the server refuse.
    const long = await signIn(0, 'y'.repeat(3_000));
    expect(Math.max(...(await list(0, long)).map(({ agent }) => agent.length))).to.equal(256);
  });

  it('are all over with a new password, but for the one that is begun with it', async () => {
    const [here, there] = [await signIn(0), await signIn(1)];
    const changed = await call(port(0), '/api/me/password', {
      method: 'PUT',
      headers: { cookie: here },
      body: { password: 'another long password', current: PASSWORD },
    });
    const now = cookieOf(changed);
    expect(await isIn(0, here)).to.equal(false);
    expect(await isIn(0, there)).to.equal(false);
    expect(await isIn(0, now)).to.equal(true);
    expect(await list(0, now)).to.have.length(1);
  });

  it('are known to a gateway that starts later: who was signed out stays out, who was not stays in', async () => {
    const [out, stays] = [await signIn(0), await signIn(0)];
    await signOut(0, out);
    const later = await place.gateway();
    expect((await call(later.port, '/api/me', { headers: { cookie: out } })).status).to.equal(401);
    expect((await call(later.port, '/api/me', { headers: { cookie: stays } })).status).to.equal(200);
  });

  it('are good under the name that people know, where that is set, and under no other that leads here', async () => {
    const gateway = await place.gateway({
      publicUrl: 'https://loam.example',
      trustedProxies: Networks.parse('127.0.0.1') ?? new Networks(),
    });
    const cookie = await place.signIn(gateway, 'vera');
    const ask = async (headers: Record<string, string>, path = '/api/me') => {
      const answer = await call(gateway.port, path, { headers: { cookie, ...headers } });
      return answer.status === 200 ? 200 : problemCode(answer);
    };
    for (const host of ['loam.example', 'LOAM.example:443', 'localhost:8080', '127.0.0.1', '[::1]:8080']) {
      expect(await ask({ host }), host).to.equal(200);
    }
    for (const host of ['evil.example', 'loam.example.evil.example', 'loam.example:8443', 'localhost.evil.example']) {
      expect(await ask({ host }), host).to.equal('wrong-host');
    }
    expect(await ask({ host: 'inside:8080', 'x-forwarded-host': 'loam.example' })).to.equal(200);
    expect(await ask({ host: 'loam.example', 'x-forwarded-host': 'evil.example' })).to.equal('wrong-host');
    // A page of that name, before anybody has signed in, and its sockets.
    const origin = { host: 'evil.example', origin: 'http://evil.example', cookie: '' };
    expect(await ask(origin, '/api/me')).to.equal('wrong-host');
    const refused = await place.connect(gateway, { ...origin, cookie }).catch((error: Error) => error.message);
    expect(refused).to.equal('421');
    // What is no token exempts from nothing, and where a password is shown not even a token does.
    for (const authorization of ['x', 'Basic eDp5', 'Bearer', 'Bearer a b']) {
      expect(await ask({ host: 'evil.example', authorization }), authorization).to.equal('wrong-host');
    }
    for (const path of ['/api/login', '/api/%6Cogin', '/%61pi/login']) {
      const guess = await call(gateway.port, path, {
        method: 'POST',
        body: { user: 'vera', password: PASSWORD },
        headers: { ...origin, authorization: 'Bearer x' },
      });
      expect(problemCode(guess), path).to.equal('wrong-host');
    }
    expect(await ask({ host: 'evil.example', authorization: 'Bearer x' }), 'the cookie is not asked').to.equal(
      'not-signed-in',
    );
    // Programs and whoever looks after the process ask by any name.
    const token = JSON.parse(
      (
        await call(gateway.port, '/api/login', {
          method: 'POST',
          body: { user: 'vera', password: PASSWORD, answer: 'token' },
          headers: { host: 'inside' },
        })
      ).text,
    ).token;
    expect(await ask({ host: 'inside', cookie: '', authorization: `Bearer ${token}` })).to.equal(200);
    expect((await call(gateway.port, '/healthz', { headers: { host: 'evil.example', cookie } })).status).to.equal(200);
  });

  it('are not begun where the host is not one name with a port that there is', async () => {
    const gateway = await place.gateway({ publicUrl: 'https://loam.example' });
    const statusOf = async (hosts: readonly string[], path: string) => {
      const socket = connect(gateway.port, '127.0.0.1');
      const lines = hosts.map((host) => `Host: ${host}\r\n`).join('');
      socket.end(`GET ${path} HTTP/1.1\r\n${lines}${path === '/ws' ? UPGRADE : ''}\r\n`);
      const [first] = await once(socket, 'data');
      socket.destroy();
      return Number(String(first).split(' ')[1]);
    };
    const good = ['loam.example', '127.0.0.1', '[::1]:1', 'a_b-c.d:65535', '192.0.2.1:80'];
    for (const host of good) expect(await statusOf([host], '/api/me'), host).to.equal(401);
    const bad = [
      'a:0',
      'a:65536',
      'a:',
      'a:080x',
      ':80',
      'a,b',
      'a b',
      'u@a',
      'a/b',
      '[::1',
      '::1',
      'a:99999999999',
      'aéb',
    ];
    for (const path of ['/api/me', '/ws', '/index.html']) {
      for (const host of bad) expect(await statusOf([host], path), `${host} ${path}`).to.equal(400);
      expect(await statusOf(['loam.example', 'loam.example'], path), path).to.equal(400);
      expect(await statusOf(['127.0.0.1', 'evil.example'], path), path).to.equal(400);
    }
  });

  it('end at last, however much they are used', async () => {
    let now = Date.now();
    const gateway = await place.gateway({ now: () => now });
    const me = (cookie: string) => call(gateway.port, '/api/me', { headers: { cookie } });
    let cookie = await place.signIn(gateway, 'vera');
    const begun = now;
    let id: string | undefined;
    while (now - begun < LONGEST_SESSION_MS - 11 * HOUR) {
      now += 10 * HOUR;
      const answer = await me(cookie);
      expect(answer.status, `after ${(now - begun) / HOUR} h`).to.equal(200);
      cookie = cookieOf(answer);
      const { text } = await call(gateway.port, '/api/me/sessions', { headers: { cookie } });
      const [only] = JSON.parse(text).sessions;
      id ??= only.id;
      expect(only).to.deep.include({ id, current: true, used: now });
    }
    now = begun + LONGEST_SESSION_MS + 1_000;
    expect((await me(cookie)).status).to.equal(401);
  });

  it('end here though the log is away, which is said, and elsewhere when it is back', async () => {
    let isAway = true;
    const log = overlay(place.sessions, {
      append: (body) => (isAway ? Promise.reject(new LogUnavailable('away')) : place.sessions.append(body)),
    });
    const gateway = await place.gateway({ sessions: log });
    const cookie = await place.signIn(gateway, 'vera');
    const me = () => call(gateway.port, '/api/me', { headers: { cookie } });
    expect((await me()).status).to.equal(200);
    const out = await call(gateway.port, '/api/logout', { method: 'POST', body: {}, headers: { cookie } });
    expect(problemCode(out)).to.equal('log-unavailable');
    expect(String(out.headers['set-cookie'])).to.include('Max-Age=0');
    expect((await me()).status).to.equal(401);
    isAway = false;
    await until('the others know', async () => !(await isIn(0, cookie)));
  });
});
