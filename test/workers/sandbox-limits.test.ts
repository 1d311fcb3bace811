import { expect } from 'chai';
import { MAX_INPUT_BYTES } from '../../workers/codecs/codec.ts';
import { Sandbox } from '../../workers/codecs/sandbox.ts';
import { LIMITS, resultOf, runBody, uplink } from './codecs/in-sandbox.ts';

describe('a sandbox has limits', function () {
  this.timeout(180_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.open(LIMITS);
  });

  const run = (code: string, input = uplink()) => runBody(sandbox, code, input);

  it('on the steps to read a file and to decode, each of their own', () => {
    const turns = (count: number) => `for (var i = 0; i < ${count}; i++);`;
    const codec = (read: number, decode: number) =>
      resultOf(
        sandbox.run(`${turns(read)} function decodeUplink() { ${turns(decode)} return { data: { a: 1 } }; }`, uplink()),
      );
    expect(codec(180_000, 180_000)).to.deep.equal({ a: 1 });
    expect(codec(1_000_000, 0)).to.equal('the codec cannot be read: it took too long');
    expect(codec(0, 1_000_000)).to.equal('it took too long');
    // Steps are counted anew: the third uplink may take as many as the first.
    for (let i = 0; i < 3; i++) expect(codec(180_000, 180_000)).to.deep.equal({ a: 1 });
  });

  it('on memory, the same for each uplink', async () => {
    const taking = `function decodeUplink() {
      var a = [];
      try { for (;;) a.push(new Uint8Array(65536)); } catch (error) { return { data: { n: a.length } }; }
    }`;
    const [first, second, third] = [1, 2, 3].map(() => resultOf(sandbox.run(taking, uplink())));
    expect(first).to.have.property('n').that.is.above(64);
    expect([second, third]).to.deep.equal([first, first]);
    expect(resultOf((await Sandbox.open(LIMITS)).run(taking, uplink()))).to.deep.equal(first);
  });

  it('and memory that a run has filled is empty in the next', () => {
    run('new Uint8Array(8e6).fill(255); return { data: { a: 1 } };');
    expect(run('return { data: { n: Buffer.alloc(8e6).indexOf(255) } };')).to.deep.equal({ n: -1 });
  });

  it('on the bytes of an uplink', () => {
    const count = 'return { data: { n: input.bytes.length } };';
    expect(run(count, uplink(new Uint8Array(MAX_INPUT_BYTES)))).to.deep.equal({ n: 16_384 });
    expect(run(count, uplink(new Uint8Array(MAX_INPUT_BYTES + 1)))).to.equal(
      '16385 bytes are too many for a codec: it is given at most 16384',
    );
  });

  it('on the answer: its length, its levels', () => {
    expect(run('return { data: { x: "y".repeat(70000) } };')).to.include('more than 65536 bytes');
    expect(run('return { data: { x: "y".repeat(4e6) } };')).to.include('more than 65536 bytes');
    const nested = (levels: number, before: string, after: string) => {
      const text = `${before}${'['.repeat(levels)}${']'.repeat(levels)}${after}`;
      return resultOf(
        sandbox.run(`JSON.stringify = () => ${JSON.stringify(text)}; function decodeUplink() {}`, uplink()),
      );
    };
    expect(nested(32_000, '', '')).to.include('gave no object');
    expect(nested(32_000, '{"data":', '}')).to.include('more than 100 levels');
    expect(nested(32_000, '{"errors":', '}')).to.include('more than 100 levels');
    expect(nested(50, '{"data":', '}')).to.be.an('array');
  });

  it('never throws, whatever a codec throws or answers', () => {
    const things = [
      'Promise.resolve(1)',
      'Promise.reject(1)',
      'Promise.resolve(10n)',
      'new Promise(function () {})',
      'Symbol("s")',
      '10n',
      'null',
      'undefined',
      'function () {}',
      '(function () { var a = {}; a.a = a; return a; })()',
      'new Proxy({}, { get: function () { throw 1; }, ownKeys: function () { throw 2; } })',
      '{ get message() { throw new Error("inner"); } }',
      '{ name: { toString: 1 }, message: { toString: 1 } }',
      '{ toString: 1, valueOf: 2, toJSON: 3 }',
      '{ toJSON: function () { for (;;); } }',
      'Object.assign(new Error("x"), { stack: "y".repeat(1e6), message: "z".repeat(1e6) })',
      '"\\0\\ud800"',
    ];
    for (const thing of things) {
      expect(run(`throw ${thing};`), thing)
        .to.be.a('string')
        .and.have.length.below(600);
      expect(() => run(`return ${thing};`), thing).not.to.throw();
      expect(run(`return { errors: [${thing.replace('10n', '10')}] };`), thing).to.be.a('string');
    }
    expect(run('return { errors: [{ toString: 1, valueOf: 2 }] };')).to.equal(
      'the codec says: {"toString":1,"valueOf":2}',
    );
    expect(resultOf(sandbox.run('export function decodeUplink() {}', uplink()))).to.include(
      'cannot be read: SyntaxError',
    );
    expect(resultOf(sandbox.run('/* never closed', uplink()))).to.include('cannot be read');
  });
});
