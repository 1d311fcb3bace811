import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { SecretUnopened } from '../../core/errors.ts';
import { areSecretKeys, isSealed, KEPT_TOKEN, keyIdIn, LONGEST_SECRET, SecretKeys } from '../../core/secret-key.ts';

const [OLD, NEW, OTHER] = ['o'.repeat(32), 'n'.repeat(40), 'x'.repeat(32)];
const PLACE = { kind: 'source', id: 'west', key: 'password' };

describe('the keys of LOAM_SECRET_KEY', () => {
  const refused = (keys: SecretKeys, text: string, place = PLACE) => {
    expect(() => keys.open(place, text)).to.throw(SecretUnopened);
  };

  it('open what they have sealed, whatever it is, and each time it looks different', () => {
    const keys = new SecretKeys(NEW);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
        const [one, other] = [keys.seal(PLACE, text), keys.seal(PLACE, text)];
        return isSealed(one) && one !== other && keys.open(PLACE, one) === text && keys.open(PLACE, other) === text;
      }),
    );
    const longest = 'a'.repeat(LONGEST_SECRET);
    expect(isSealed(keys.seal(PLACE, longest))).to.equal(true);
    expect(keys.open(PLACE, keys.seal(PLACE, longest))).to.equal(longest);
  });

  it('do not open it at another place, changed in any letter, or without the key that it names', () => {
    const keys = new SecretKeys(NEW);
    const sealed = keys.seal(PLACE, 'apple tree');
    for (const other of [{ kind: 'user' }, { id: 'wes' }, { id: 'west/p' }, { key: 'passwordFile' }]) {
      refused(keys, sealed, { ...PLACE, ...other });
    }
    for (let i = 'sealed:'.length; i < sealed.length - 1; i++) {
      refused(keys, sealed.slice(0, i) + (sealed[i] === 'a' ? 'b' : 'a') + sealed.slice(i + 1));
    }
    refused(new SecretKeys(OTHER), sealed);
    for (const text of ['', 'sealed:', 'apple tree', sealed.slice(0, -1), `${sealed} `]) refused(keys, text);
  });

  it('seal with the first, and open with all', () => {
    const sealed = new SecretKeys(OLD).seal(PLACE, 'apple tree');
    const both = new SecretKeys(`${NEW},${OLD}`);
    expect(both.open(PLACE, sealed)).to.equal('apple tree');
    const anew = both.seal(PLACE, 'apple tree');
    expect(keyIdIn(anew)).to.equal(both.id).and.not.equal(keyIdIn(sealed));
    expect(new SecretKeys(NEW).open(PLACE, anew)).to.equal('apple tree');
    refused(new SecretKeys(OLD), anew);
  });

  it('keep tokens by the first, know them by all, and know those that earlier versions kept', () => {
    const both = new SecretKeys(`${NEW}, ${OLD}`);
    const token = 'A1_TEST_TOKEN/9f3+c0';
    const earlier = (key: string) => createHmac('sha256', key).update(token).digest('hex');
    expect(both.keptToken(token))
      .to.equal(`${both.id}.${earlier(NEW)}`)
      .and.match(KEPT_TOKEN);
    expect(both.everyKeptToken(token)).to.have.members([
      both.keptToken(token),
      new SecretKeys(OLD).keptToken(token),
      earlier(NEW),
      earlier(OLD),
    ]);
    expect([keyIdIn(both.keptToken(token)), keyIdIn(earlier(NEW))]).to.deep.equal([both.id, undefined]);
  });

  it('are each at least 32 characters, and not more than 20', () => {
    expect([NEW, `${NEW},${OLD}`, `${NEW}, ${OLD}`].map(areSecretKeys)).to.deep.equal([true, true, true]);
    const wrong = ['', OLD.slice(1), `${NEW},`, `${NEW},short`, `,${NEW}`, Array(21).fill(NEW).join()];
    expect(wrong.map(areSecretKeys)).to.deep.equal(wrong.map(() => false));
  });
});
