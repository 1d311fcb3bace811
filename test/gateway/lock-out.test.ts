import { expect } from 'chai';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { createFirstSignIn } from '../../dashboard-gateway/sign-in/first-sign-in.ts';
import { Throttle } from '../../dashboard-gateway/sign-in/throttle.ts';
import { type Answer, call, cookieOf, PASSWORD, Place, problemCode } from './harness.ts';

describe('strangers who guess a user’s password', function () {
  this.timeout(120_000);
  let place: Place;
  let gateway: Gateway;
  let browser: string;

  before(async () => {
    place = await Place.open();
    const proxies = Networks.parse('127.0.0.1') ?? new Networks();
    // Its time stands still: the attempts that strangers may make at once are spent, and stay so.
    const throttle = new Throttle(() => 0);
    gateway = await place.gateway({ trustedProxies: proxies, throttle });
    const before = await signIn('192.0.2.1', PASSWORD);
    browser = browserOf(before);
    for (let i = 0; i < 100; i++) expect(throttle.begin('vera', `10.0.${i}.1`)).to.equal(0);
  });

  after(() => place.close());

  const signIn = (from: string, password: string, cookie = '', user = 'vera') =>
    call(gateway.port, '/api/login', {
      method: 'POST',
      headers: { 'x-forwarded-for': from, ...(cookie ? { cookie } : {}) },
      body: { user, password },
    });

  /** The cookie by which the browser is known afterwards. */
  function browserOf(answer: Answer): string {
    const all = [answer.headers['set-cookie'] ?? []].flat();
    return all.find((cookie) => cookie.startsWith('loam-browser-'))?.split(';', 1)[0] ?? '';
  }

  it('are stopped, with a wait in seconds and what else can be done', async () => {
    const refused = await signIn('10.9.9.9', 'wrong');
    expect(problemCode(refused)).to.equal('too-many-attempts');
    expect(Number(refused.headers['retry-after'])).to.be.within(1, 30);
    expect(JSON.parse(refused.text).detail).to.include('a browser in which this user signed in before');
  });

  it('do not hold up the browser in which the user signed in before', async () => {
    expect((await signIn('203.0.113.9', PASSWORD, browser)).status).to.equal(200);
  });

  it('do not hold up the user where they signed in before', async () => {
    expect((await signIn('192.0.2.1', PASSWORD)).status).to.equal(200);
  });

  it('gain nothing by a cookie of their own making, or of another user', async () => {
    const [name = '', value = ''] = browser.split('=');
    const own = browserOf(await signIn('192.0.2.2', PASSWORD, '', 'sam'));
    const others = `${name}=${own.split('=')[1]}`;
    const session = `${name}=${cookieOf(await signIn('192.0.2.1', PASSWORD)).split('=')[1]}`;
    for (const cookie of [`${name}=x`, `${name}=${value}x`, `${name}=a.b.c`, own, others, session]) {
      expect(problemCode(await signIn('10.9.9.8', 'wrong', cookie)), cookie).to.equal('too-many-attempts');
    }
  });

  it('have five tries with a stolen one, which opens nothing else', async () => {
    const stolen = browserOf(await signIn('192.0.2.1', PASSWORD));
    const tries: string[] = [];
    for (let i = 0; i < 8; i++) tries.push(problemCode(await signIn('10.9.9.7', 'wrong', stolen)));
    expect(tries.filter((code) => code === 'wrong-credentials')).to.have.length(5);
    expect((await signIn('203.0.113.9', PASSWORD, browser)).status, 'hers has its own').to.equal(200);
    const [, value = ''] = stolen.split('=');
    const me = await call(gateway.port, '/api/me', { headers: { cookie: `loam=${value}` } });
    expect(problemCode(me)).to.equal('not-signed-in');
  });

  it('are told apart by a cookie that scripts and other sites do not see', async () => {
    const answer = await call(gateway.port, '/api/login', {
      method: 'POST',
      headers: { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' },
      body: { user: 'vera', password: PASSWORD },
    });
    const cookie = [answer.headers['set-cookie'] ?? []].flat().find((text) => text.startsWith('loam-browser-'));
    for (const part of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Max-Age=15552000', 'Path=/api/login']) {
      expect(cookie).to.include(part);
    }
  });

  it('do not hold up the change of a password, which ends the cookies before it', async () => {
    const signed = await signIn('192.0.2.1', PASSWORD);
    const changed = await call(gateway.port, '/api/me/password', {
      method: 'PUT',
      headers: { cookie: cookieOf(signed), 'x-forwarded-for': '203.0.113.77' },
      body: { current: PASSWORD, password: 'another long one' },
    });
    expect(changed.status).to.equal(204);
    expect(problemCode(await signIn('203.0.113.10', 'another long one', browser))).to.equal('too-many-attempts');
    expect((await signIn('203.0.113.9', 'another long one', browserOf(changed))).status).to.equal(200);
  });

  it('do not hold up a one-time token', async () => {
    const firstSignIn = createFirstSignIn({ user: 'newt', from: new Networks() });
    const gate = await place.gateway({ firstSignIn });
    const by = (token: string) => call(gate.port, '/api/login', { method: 'POST', body: { token } });
    const tries: string[] = [];
    for (let i = 0; i < 30; i++) tries.push(problemCode(await by(`wrong ${i}`)));
    expect(tries.at(-1)).to.equal('too-many-attempts');
    expect((await by(firstSignIn.token)).status).to.equal(200);
  });
});
