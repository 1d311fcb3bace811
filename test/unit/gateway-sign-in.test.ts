import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { RegistryInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { addressText, countingKey, isLoopback, Networks } from '../../core/networks.ts';
import { verifyPassword } from '../../core/secrets.ts';
import { clientOf, isSameOrigin } from '../../dashboard-gateway/http/origin.ts';
import { createFirstSignIn } from '../../dashboard-gateway/sign-in/first-sign-in.ts';
import { Passwords } from '../../dashboard-gateway/sign-in/passwords.ts';
import { Throttle } from '../../dashboard-gateway/sign-in/throttle.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { rejection } from '../backbone/numbered.ts';
import { temporaryFolder } from '../services/wait.ts';

const MINUTE = 60_000;
const NEAR = { address: '127.0.0.1', known: true };

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

  it('is good from elsewhere, too, where that was allowed', () => {
    const from = Networks.parse('10.0.0.0/8, fd00::/8');
    const first = createFirstSignIn({ user: 'ada', ...(from ? { from } : {}) });
    expect(first.exchange(first.token, '11.0.0.1')).to.equal(undefined);
    expect(first.exchange(first.token, '::ffff:10.1.2.3')).to.equal('ada');
    expect(first.exchange(first.token, '10.1.2.3'), 'once').to.equal(undefined);
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

  let registry: YamlRegistry;
  let path: string;

  beforeEach(async () => {
    path = join(await temporaryFolder(), 'registry.yaml');
    await writeFile(path, text);
    registry = await YamlRegistry.open(path, { log: silent, here: true });
  });
  afterEach(() => registry.close());

  it('is written beside everything that was there', async () => {
    const passwords = await Passwords.create(registry);
    await Promise.all(['ada', 'bert'].map((name) => passwords.set(name, 'something long', NEAR)));
    const edited = await readFile(path, 'utf8');
    const { users } = parseRegistry(edited);
    for (const name of ['ada', 'bert']) {
      expect(await verifyPassword('something long', users.get(name)?.password ?? '')).to.equal(true);
    }
    for (const kept of ['# Mine', '# the boss', '# yes', 'farms: []']) expect(edited).to.include(kept);
  });

  it('is refused for nobody', async () => {
    const passwords = await Passwords.create(registry);
    expect(await rejection(passwords.set('carl', 'something long', NEAR))).to.be.instanceOf(RegistryInvalid);
    expect(await readFile(path, 'utf8')).to.equal(text);
  });
});

describe('where a request comes from', () => {
  const asked = (origin: string, host: string, secure = false) => ({ headers: { origin, host }, secure });

  it('is the gateway itself when the origin is its host', () => {
    expect(isSameOrigin(asked('', 'a:1'))).to.equal(true);
    expect(isSameOrigin(asked('http://a:1', 'a:1'))).to.equal(true);
    expect(isSameOrigin(asked('https://farm.example', 'farm.example:443'))).to.equal(true);
    for (const other of ['http://b:1', 'http://a:2', 'null', 'http://a', 'a:1']) {
      expect(isSameOrigin(asked(other, 'a:1')), other).to.equal(false);
    }
  });

  it('is another site when the page came without TLS and the request with it', () => {
    expect(isSameOrigin(asked('https://farm.example', 'farm.example', true))).to.equal(true);
    expect(isSameOrigin(asked('http://farm.example', 'farm.example', true))).to.equal(false);
  });

  it('is an address as text', () => {
    expect(addressText(new Uint8Array([10, 0, 0, 1]))).to.equal('10.0.0.1');
    const mapped = new Uint8Array([...Array<number>(10).fill(0), 255, 255, 127, 0, 0, 1]);
    expect(addressText(mapped)).to.equal('127.0.0.1');
    expect(isLoopback(addressText(new Uint8Array([...Array<number>(15).fill(0), 1])))).to.equal(true);
  });

  describe('behind proxies', () => {
    const trusted = Networks.parse('10.0.0.0/8, fd00::/8, 127.0.0.1') ?? new Networks();
    const of = (peer: string, chain: string, proto = '') =>
      clientOf(peer, { by: chain, proto }, { tls: false, trusted });

    it('is whom the first trusted proxy saw, whatever that one claimed', () => {
      expect(of('10.0.0.1', '203.0.113.9').address).to.equal('203.0.113.9');
      expect(of('10.0.0.1', '1.2.3.4, 203.0.113.9, 10.0.0.2').address).to.equal('203.0.113.9');
      expect(of('fd00:0:0:0:0:0:0:1', '2001:db8::1').address).to.equal('2001:db8::1');
      expect(of('10.0.0.1', '::ffff:203.0.113.9').address).to.equal('203.0.113.9');
    });

    it('is the last one that can be read', () => {
      expect(of('10.0.0.1', '').address).to.equal('10.0.0.1');
      expect(of('10.0.0.1', '203.0.113.9, nonsense').address).to.equal('10.0.0.1');
      expect(of('10.0.0.1', '203.0.113.9, nonsense, 10.0.0.2').address).to.equal('10.0.0.2');
      expect(of('10.0.0.1', Array(500).fill('10.0.0.2').join(',')).address).to.equal('10.0.0.2');
    });

    it('is the same in every spelling of an address, with a port or without', () => {
      const spellings = [
        '2001:db8:0:0:1::7',
        '2001:DB8::1:0:0:7',
        '[2001:db8::1:0:0:7]',
        '[2001:db8:0::1:0:0:7]:51000',
      ];
      for (const text of spellings) expect(of('10.0.0.1', text).address, text).to.equal('2001:db8::1:0:0:7');
      for (const text of [
        '203.0.113.9:51000',
        '::ffff:cb00:7109',
        '[::FFFF:203.0.113.9]:1',
        '0:0:0:0:0:ffff:203.0.113.9',
      ]) {
        expect(of('10.0.0.1', text).address, text).to.equal('203.0.113.9');
      }
      // A proxy of ours stays one, however the next one spells it.
      expect(of('10.0.0.1', '203.0.113.9, [fd00::2]:443, 10.0.0.3:80').address).to.equal('203.0.113.9');
    });

    it('counts as one place for all of a /64, in every spelling', () => {
      const one = ['2001:db8:5:6::1', '2001:DB8:5:6:ffff:1:2:3', '2001:0db8:0005:0006::', '2001:db8:5:6::1%eth0'];
      expect(new Set(one.map(countingKey))).to.have.property('size', 1);
      const zeros = ['2001:db8::1', '2001:db8::2:0:0:1', '2001:db8:0:0:f:e:d:c', '2001:db8:0::7'];
      expect(new Set(zeros.map(countingKey))).to.have.property('size', 1);
      expect(countingKey('::ffff:10.0.0.1')).to.equal(countingKey('::ffff:a00:1')).and.to.equal('10.0.0.1');
      expect(countingKey('2001:db8:5:7::1')).to.not.equal(countingKey('2001:db8:5:6::1'));
    });

    it('is the proxy that does not know its client, not what the client claims', () => {
      for (const hop of ['unknown', '_hidden', 'unix:', '', '[', '[]:1', '1.2.3.4.5', '0x7f.1', '999.1.1.1']) {
        expect(of('10.0.0.1', `198.51.100.1, ${hop}`).address, hop).to.equal('10.0.0.1');
      }
    });

    it('is the peer itself when that is no trusted proxy', () => {
      expect(of('203.0.113.1', '127.0.0.1', 'https')).to.deep.equal({
        address: '203.0.113.1',
        secure: false,
        host: undefined,
      });
    });

    it('is secure when the nearest trusted proxy says so, or the gateway speaks TLS', () => {
      expect(of('10.0.0.1', '203.0.113.9', 'https').secure).to.equal(true);
      expect(of('10.0.0.1', '203.0.113.9', 'https, http').secure).to.equal(false);
      expect(clientOf('203.0.113.1', { by: '', proto: 'http' }, { tls: true, trusted }).secure).to.equal(true);
    });
  });
});

describe('a list of networks', () => {
  it('holds addresses and networks of both kinds', () => {
    const networks = Networks.parse('10.0.0.0/8,::1, 192.0.2.7');
    for (const inside of ['10.1.2.3', '::ffff:10.1.2.3', '0:0:0:0:0:0:0:1', '192.0.2.7']) {
      expect(networks?.has(inside), inside).to.equal(true);
    }
    for (const outside of ['11.0.0.1', '::2', '192.0.2.8', '', 'localhost']) {
      expect(networks?.has(outside), outside).to.equal(false);
    }
    expect(Networks.parse('')?.has('127.0.0.1')).to.equal(false);
  });

  it('is refused whole when a part of it is none', () => {
    for (const wrong of ['x', '10.0.0.1,', ',', '10.0.0.0/33', '10.1', '10.1/8', '::1/129', '0x7f000001']) {
      expect(Networks.parse(wrong), wrong).to.equal(undefined);
    }
  });
});
