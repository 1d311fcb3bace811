import { expect } from 'chai';
import { hashPassword, hashSecret, newSecret, PASSWORD_HASH, sameText, verifyPassword } from '../../core/secrets.ts';

describe('secrets', () => {
  it('are new each time, of 192 random bits, and safe in URLs', () => {
    const made = Array.from({ length: 1_000 }, newSecret);
    expect(new Set(made).size).to.equal(1_000);
    for (const secret of made) expect(secret).to.match(/^[A-Za-z0-9_-]{32}$/);
  });

  it('are kept as SHA-256 in hex', () => {
    // The test vector of FIPS 180-2 for "abc".
    expect(hashSecret('abc')).to.equal('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('are equal only to themselves', () => {
    expect(sameText('soil', 'soil')).to.equal(true);
    expect(sameText('', '')).to.equal(true);
    for (const other of ['', 'Soil', 'soil ', 'soi', 'söil']) expect(sameText('soil', other)).to.equal(false);
  });
});

describe('passwords', () => {
  let hash: string;
  before(async () => {
    hash = await hashPassword('apple tree');
  });

  it('are verified against their hash', async () => {
    expect(await verifyPassword('apple tree', hash)).to.equal(true);
  });

  it('are told from any other', async () => {
    for (const other of ['', 'apple tre', 'apple tree ', 'Apple tree']) {
      expect(await verifyPassword(other, hash), other).to.equal(false);
    }
  });

  it('are salted: twice the same makes two hashes, and both verify', async () => {
    const second = await hashPassword('apple tree');
    expect(second).to.not.equal(hash);
    expect(await verifyPassword('apple tree', second)).to.equal(true);
  });

  it('are the same however a keyboard composes their letters', async () => {
    expect(await verifyPassword('ka\u0308fer', await hashPassword('k\u00e4fer'))).to.equal(true);
  });

  it('may be of any length and script', async () => {
    for (const password of ['', '温度计🌱', 'x'.repeat(10_000)]) {
      expect(await verifyPassword(password, await hashPassword(password))).to.equal(true);
    }
  });

  it('are kept as scrypt$cost$salt$key, with nothing of the password in it', () => {
    expect(hash).to.match(PASSWORD_HASH);
    expect(hash).to.not.include('apple');
  });

  it('are never verified by a hash of another form', async () => {
    const [, , salt, key] = hash.split('$');
    for (const other of [
      '',
      'apple tree',
      `scrypt$1$${salt}$${key}`,
      `scrypt$1073741824$${salt}$${key}`,
      `scrypt$32768$${salt}$`,
      `bcrypt$32768$${salt}$${key}`,
      `${hash}\n`,
      ` ${hash}`,
    ]) {
      expect(await verifyPassword('apple tree', other), other).to.equal(false);
    }
  });

  it('are not verified by a hash whose cost, salt or key was changed', async () => {
    const [, , salt = '', key = ''] = hash.split('$');
    const turned = (text: string) => `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`;
    for (const other of [
      `scrypt$16384$${salt}$${key}`,
      `scrypt$32768$${turned(salt)}$${key}`,
      `scrypt$32768$${salt}$${turned(key)}`,
    ]) {
      expect(await verifyPassword('apple tree', other), other).to.equal(false);
    }
  });
});
