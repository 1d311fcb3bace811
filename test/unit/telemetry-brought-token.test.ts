import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { SecretKeys } from '../../core/secret-key.ts';
import { hashSecret } from '../../core/secrets.ts';
import { isStrongToken, keptToken } from '../../telemetry/brought-token.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';

const KEYS = new SecretKeys('k'.repeat(32));
const TOKEN = 'A1_TEST_TOKEN/9f3+c0';

describe('a token that a device came with', () => {
  it('is taken when it is random, in any alphabet that devices use', () => {
    const alphabets = [
      '0123456789abcdef',
      '0123456789',
      'abcdefghijklmnopqrstuvwxyz',
      'ABCDEFGHJKLMNPQRSTUVWXYZ23456789+/=_-',
    ];
    for (const alphabet of alphabets) {
      for (let i = 0; i < 2_000; i++) {
        const bytes = randomBytes(24);
        const token = [...bytes].map((byte) => alphabet[byte % alphabet.length]).join('');
        expect(isStrongToken(token), token).to.equal(true);
      }
    }
    expect(isStrongToken(TOKEN)).to.equal(true);
    expect(isStrongToken(`${TOKEN}ö~§€`)).to.equal(true);
  });

  it('is refused when it is short, long, has spaces or control characters, or can be guessed', () => {
    const weak = [
      '',
      TOKEN.slice(1),
      `${TOKEN}${'x1'.repeat(60)}`,
      `${TOKEN} x`,
      `${TOKEN}\u00a0`,
      `${TOKEN}\u0000`,
      `${TOKEN}\n`,
      `${TOKEN}\u200b`,
      'a'.repeat(32),
      'abababababababababababab',
      '12345678'.repeat(3),
      'password'.repeat(3),
      '01234567890123456789',
      'abcdefghijklmnopqrstuvwxyz',
      'zyxwvutsrqponmlkjihgfedcba',
      'aabbccddeeffgghhiijjkk',
      'ababbaabbabaabababbaab',
    ];
    for (const token of weak) expect(isStrongToken(token), JSON.stringify(token)).to.equal(false);
  });

  it('is kept as an HMAC by the key, and by nothing that tells it without the key', () => {
    const kept = keptToken(parseRegistry(''), TOKEN, KEYS, { farm: 'north', id: 'a' });
    expect(kept)
      .to.equal(KEYS.keptToken(TOKEN))
      .and.match(/^[0-9a-f]{8}\.[0-9a-f]{64}$/);
    expect(kept).not.to.equal(hashSecret(TOKEN));
    expect(kept).not.to.equal(new SecretKeys('k'.repeat(33)).keptToken(TOKEN));
  });

  it('is no other sensor’s, by token or by secret, in any farm', () => {
    const registry = parseRegistry(`farms:
  - { id: north, name: N, timezone: UTC }
  - { id: south, name: S, timezone: UTC }
sensors:
  - { id: a, farm: south, token: ${KEYS.keptToken(TOKEN)} }
  - { id: b, farm: south, secret: ${hashSecret(`${TOKEN}-secret`)} }
`);
    const asked = (token: string, farm: string, id: string) => keptToken(registry, token, KEYS, { farm, id });
    for (const [farm, id] of [
      ['north', 'a'],
      ['south', 'b'],
      ['north', 'new'],
    ] as const) {
      expect(asked(TOKEN, farm, id)).to.equal(undefined);
    }
    expect(asked(`${TOKEN}-secret`, 'north', 'b')).to.equal(undefined);
    expect(asked(TOKEN, 'south', 'a'), 'its own').to.equal(KEYS.keptToken(TOKEN));
    expect(asked(`${TOKEN}x`, 'north', 'new')).to.equal(KEYS.keptToken(`${TOKEN}x`));
  });

  it('is judged in any form without an error', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (text) => typeof isStrongToken(text) === 'boolean'),
    );
  });
});
