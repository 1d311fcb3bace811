import { expect } from 'chai';
import { RegistryInvalid } from '../../core/errors.ts';
import { hashPassword, verifyPassword } from '../../core/secrets.ts';
import { createFirstSignIn, isLoopback } from '../../dashboard-gateway/first-sign-in.ts';
import { addressText, isSameOrigin } from '../../dashboard-gateway/http/request.ts';
import { withPassword } from '../../dashboard-gateway/sign-in/passwords.ts';
import { Throttle } from '../../dashboard-gateway/sign-in/throttle.ts';
import { parseRegistry } from '../../telemetry/registry.ts';

const MINUTE = 60_000;

describe('the first sign-in', () => {
  it('is good once', () => {
    const first = createFirstSignIn({ user: 'ada' });
    expect(first.exchange('wrong', '127.0.0.1')).to.equal(undefined);
    expect(first.exchange(first.token, '127.0.0.1')).to.equal('ada');
    expect(first.exchange(first.token, '127.0.0.1')).to.equal(undefined);
  });

  it('is good for 15 minutes', () => {
    let now = 0;
    const first = createFirstSignIn({ user: 'ada', now: () => now });
    now = 15 * MINUTE;
    expect(first.exchange(first.token, '127.0.0.1')).to.equal(undefined);
    now -= 1;
    expect(first.exchange(first.token, '127.0.0.1')).to.equal('ada');
  });

  it('is good from this machine only', () => {
    const first = createFirstSignIn({ user: 'ada' });
    for (const away of ['192.168.1.4', '::2', '', '::ffff:10.0.0.1', 'localhost']) {
      expect(first.exchange(first.token, away), away).to.equal(undefined);
    }
    for (const here of ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']) {
      expect(isLoopback(here), here).to.equal(true);
    }
  });
});

describe('the throttle of sign-ins', () => {
  it('lets five failures pass, then doubles the wait', () => {
    let now = 0;
    const throttle = new Throttle(() => now);
    for (let i = 0; i < 5; i++) expect(throttle.begin('ada', '10.0.0.1')).to.equal(0);
    const waits = [1, 2, 3].map(() => {
      const wait = throttle.begin('ada', '10.0.0.1');
      now += wait;
      expect(throttle.begin('ada', '10.0.0.1')).to.equal(0);
      return wait;
    });
    expect(waits).to.deep.equal([1000, 2000, 4000]);
    expect(throttle.begin('ada', '10.0.0.2'), 'from elsewhere').to.equal(0);
  });

  it('slows one address that tries many users', () => {
    const throttle = new Throttle(() => 0);
    for (let i = 0; i < 20; i++) expect(throttle.begin(`user${i}`, '10.0.0.1')).to.equal(0);
    expect(throttle.begin('another', '10.0.0.1')).to.be.greaterThan(0);
  });

  it('forgets after a success and after 15 quiet minutes', () => {
    let now = 0;
    const throttle = new Throttle(() => now);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 4; i++) throttle.begin('ada', '10.0.0.1');
      throttle.succeeded('ada', '10.0.0.1');
      now += 15 * MINUTE;
    }
    for (let i = 0; i < 5; i++) expect(throttle.begin('ada', '10.0.0.1')).to.equal(0);
    now += 15 * MINUTE;
    expect(throttle.begin('ada', '10.0.0.1')).to.equal(0);
    expect(throttle.begin('ada', '10.0.0.1')).to.equal(0);
  });
});

describe('a new password', () => {
  const text = `# Mine
users:
  # the boss
  - name: ada # yes
    farms: {}
  - { name: bert, farms: {} }
farms: []
`;

  it('is written beside everything that was there', async () => {
    const hash = await hashPassword('something long');
    const edited = withPassword(withPassword(text, 'ada', hash), 'bert', hash);
    const registry = parseRegistry(edited);
    expect(await verifyPassword('something long', registry.users.get('ada')?.password ?? '')).to.equal(true);
    expect(registry.users.get('bert')?.password).to.equal(hash);
    for (const kept of ['# Mine', '# the boss', '# yes', 'farms: []']) expect(edited).to.include(kept);
  });

  it('is refused for nobody', () => {
    expect(() => withPassword(text, 'carl', 'x')).to.throw(RegistryInvalid);
    expect(() => withPassword('farms: []\n', 'carl', 'x')).to.throw(RegistryInvalid);
  });
});

describe('where a request comes from', () => {
  const headers = (origin: string, host: string) => ({
    origin,
    host,
    cookie: '',
    authorization: '',
    contentType: '',
    ifNoneMatch: '',
    forwarded: false,
  });

  it('is the gateway itself when the origin is its host', () => {
    expect(isSameOrigin(headers('', 'a:1'))).to.equal(true);
    expect(isSameOrigin(headers('http://a:1', 'a:1'))).to.equal(true);
    expect(isSameOrigin(headers('https://farm.example', 'farm.example:443'))).to.equal(true);
    for (const other of ['http://b:1', 'http://a:2', 'null', 'http://a', 'a:1']) {
      expect(isSameOrigin(headers(other, 'a:1')), other).to.equal(false);
    }
  });

  it('is an address as text', () => {
    expect(addressText(new Uint8Array([10, 0, 0, 1]))).to.equal('10.0.0.1');
    const mapped = new Uint8Array([...Array<number>(10).fill(0), 255, 255, 127, 0, 0, 1]);
    expect(addressText(mapped)).to.equal('127.0.0.1');
    expect(isLoopback(addressText(new Uint8Array([...Array<number>(15).fill(0), 1])))).to.equal(true);
  });
});
