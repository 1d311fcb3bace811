import { expect } from 'chai';
import fc from 'fast-check';
import { Sandbox } from '../../workers/codecs/sandbox.ts';
import { LIMITS, resultOf, runBody, uplink } from './codecs/in-sandbox.ts';

describe('a sandbox has what makers take for granted', function () {
  this.timeout(180_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.open(LIMITS);
  });

  const run = (code: string, input = uplink()) => runBody(sandbox, code, input);

  it('Buffer', () => {
    const bytes = Buffer.from('0CF4FFCE4048F5C3', 'hex');
    const code = `var b = Buffer.from(input.bytes);
      return { data: { battery: b.readUInt16BE(0) / 1000, t: b.readInt16BE(2) / 10, f: b.readFloatBE(4), hex: b.toString('hex'),
        bits: b.slice(2, 4).toString('base64'), same: Buffer.isBuffer(b), little: b.readUInt32LE(4),
        big: Number(b.readBigUInt64BE(0)), joined: Buffer.concat([b, Buffer.alloc(2)]).length } };`;
    expect(run(code, uplink(bytes))).to.deep.equal({
      battery: bytes.readUInt16BE(0) / 1000,
      t: bytes.readInt16BE(2) / 10,
      f: bytes.readFloatBE(4),
      hex: bytes.toString('hex'),
      bits: bytes.subarray(2, 4).toString('base64'),
      same: true,
      little: bytes.readUInt32LE(4),
      big: Number(bytes.readBigUInt64BE(0)),
      joined: 10,
    });
  });

  it('atob and btoa, as Node has them', () => {
    const texts = ['AQID', 'AQI=', 'AQ==', 'AQ', ' A\nQ I D ', '', '====', 'A', 'A===', 'AQ=', 'A-B_', 'é', 'AQID='];
    const both = (decode: (text: string) => string) => texts.map((text) => attempt(() => decode(text)));
    const code = `var decode = function (text) { try { return atob(text); } catch (error) { return error.name; } };
      return { data: { texts: ${JSON.stringify(texts)}.map(decode), back: btoa('\\x00\\xff~') } };`;
    expect(run(code)).to.deep.equal({ texts: both(atob), back: btoa('\x00\xff~') });
    expect(run('return { data: btoa("€") };')).to.include('InvalidCharacterError');
  });

  it('TextDecoder and TextEncoder, as Node has them', () => {
    const decode = 'new TextDecoder("utf-8").decode(new Uint8Array(input.bytes))';
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 24 }),
      fc.string({ unit: 'binary', maxLength: 12 }).map((text) => new TextEncoder().encode(text).subarray(1)),
      fc.array(fc.constantFrom(0xe0, 0xed, 0xf0, 0xf4, 0xc2, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xef, 0xbb, 0x41)),
    );
    fc.assert(
      fc.property(damaged, (given) => {
        const bytes = Uint8Array.from(given);
        expect(run(`return { data: { text: ${decode} } };`, uplink(bytes))).to.deep.equal({
          text: new TextDecoder().decode(bytes),
        });
        expect(
          run(
            'return { data: new TextDecoder("utf8", { fatal: true }).decode(new Uint8Array(input.bytes)) };',
            uplink(bytes),
          ),
        ).to.satisfy(
          (given: string) =>
            given === attempt(() => new TextDecoder('utf8', { fatal: true }).decode(bytes)) ||
            given.startsWith('TypeError'),
        );
      }),
      { numRuns: 300 },
    );
    expect(
      run(
        'return { data: [..."aé€😀\\ud800"].map(function (c) { return [].slice.call(new TextEncoder().encode(c)); }) };',
      ),
    ).to.deep.equal([...'aé€😀\ud800'].map((sign) => [...new TextEncoder().encode(sign)]));
    expect(run('return { data: new TextDecoder("latin1").decode(new Uint8Array([0x80, 0xb0, 0xe9])) };')).to.equal(
      '€°é',
    );
    expect(run('return { data: new TextDecoder("ascii").decode(new Uint8Array([65, 66]).buffer) };')).to.equal('AB');
    expect(run('return { data: new TextDecoder("utf-16le").decode() };')).to.include(
      'RangeError: the encoding "utf-16le"',
    );
  });

  it('a console, whose lines are dropped', () => {
    expect(run('console.log(1); console.table([]); console.time("x"); return { data: 7 };')).to.equal(7);
  });

  it('which a codec may declare itself', () => {
    for (const declared of ['var Buffer = 7;', 'const Buffer = 7;', 'function Buffer() {}', 'let Buffer = 7;']) {
      const source = `${declared} function decodeUplink() { return { data: { is: typeof Buffer.from } }; }`;
      expect(resultOf(sandbox.run(source, uplink())), declared).to.deep.equal({ is: 'undefined' });
    }
  });

  it('and nothing that leads out', () => {
    const names = [
      'require',
      'module',
      'process',
      'global',
      'setTimeout',
      'fetch',
      'WebAssembly',
      'std',
      'os',
      '__call',
    ];
    const probe = names.map((name) => `${name}: typeof globalThis.${name}`).join(', ');
    expect(run(`return { data: { ${probe} } };`)).to.deep.equal(
      Object.fromEntries(names.map((name) => [name, 'undefined'])),
    );
    const roots = ['Buffer', 'atob', 'console.log', 'TextDecoder', 'new TextDecoder().decode', 'Buffer.from'];
    for (const root of roots) {
      expect(run(`return { data: ${root}.constructor('return typeof process + typeof require')() };`), root).to.equal(
        'undefinedundefined',
      );
    }
  });
});

function attempt(decode: () => string): string {
  try {
    return decode();
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}
