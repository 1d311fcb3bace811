import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect } from 'chai';
import fc from 'fast-check';
import type { CodecOutcome } from '../../workers/codecs/codec.ts';
import { Engine } from '../../workers/codecs/engine.ts';
import { readPrelude } from '../../workers/codecs/prelude.ts';
import { Sandbox } from '../../workers/codecs/sandbox.ts';
import { shortOrLong } from '../services/length.ts';
import { LIMITS, resultOf, runBody, uplink } from './codecs/in-sandbox.ts';
import { ENDINGS, LEAVING, STATEFUL } from './codecs/stateful.ts';

/** Tells what it finds of the builtins and globals. */
const BYSTANDER = `function decodeUplink(input) {
  var s = Object.getOwnPropertyNames(globalThis).length + ':' + Object.getOwnPropertyNames(Array.prototype).length;
  return { data: { n: input.bytes.length, s: s, max: Math.max(1, 2), date: typeof Date.now, at: input.recvTime.getTime() } };
}`;

describe('a sandbox gives each uplink the state after the codec was read', function () {
  this.timeout(180_000);
  let sandbox: Sandbox;

  let bystander: CodecOutcome;

  before(async () => {
    sandbox = await Sandbox.open(LIMITS);
    bystander = (await Sandbox.open(LIMITS)).run(BYSTANDER, uplink());
  });

  for (const [what, source] of Object.entries(LEAVING)) {
    it(`whatever was left: ${what}`, () => {
      for (let turn = 0; turn < 3; turn++) {
        expect(sandbox.run(source, uplink())).to.deep.equal({ data: { n: 1 } });
        expect(sandbox.run(source, uplink())).to.deep.equal({ data: { n: 1 } });
        expect(sandbox.run(BYSTANDER, uplink())).to.deep.equal(bystander);
      }
    });
  }

  for (const [how, { source, why }] of Object.entries(ENDINGS)) {
    it(`however a run ended: ${how}`, () => {
      const counted = `var count = 0; ${LEAVING['a prototype']}`;
      for (let turn = 0; turn < 5; turn++) {
        expect(resultOf(sandbox.run(source, uplink()))).to.match(why);
        expect(sandbox.run(counted, uplink())).to.deep.equal({ data: { n: 1 } });
      }
    });
  }

  it('bit for bit, with the stack pointer, however a run ended', async () => {
    const engine = await Engine.open(LIMITS);
    engine.define(await readPrelude());
    const before = engine.snapshot();
    for (const [how, { source }] of Object.entries({ ...ENDINGS, ...sources(LEAVING) })) {
      engine.evaluate(`${source}; decodeUplink({ bytes: [1, 2, 3], recvTime: new Date() });`, 'codec.js', LIMITS.steps);
      engine.restore(before);
      const after = engine.snapshot();
      expect(after.stack, how).to.equal(before.stack);
      expect(Buffer.compare(after.variables, before.variables), how).to.equal(0);
      expect(Buffer.compare(after.heap, before.heap), how).to.equal(0);
    }
  });

  it('also when the engine itself was broken', async () => {
    const engine = await Engine.open(LIMITS);
    const square = engine.define('(function (text) { return String(text * text); })');
    const whole = engine.snapshot();
    for (const byte of [0, 1, 128, 255]) {
      const { variables, heap } = whole;
      const broken = { stack: 64, variables: variables.map(() => byte), heap: heap.map(() => byte) };
      engine.restore(broken);
      expect(engine.call(square, '7', 10))
        .to.have.property('why')
        .that.includes('the engine broke off');
      engine.restore(whole);
      expect(engine.call(square, '7', 10)).to.deep.equal({ text: '49' });
      engine.restore(whole);
      expect(engine.snapshot()).to.deep.equal(whole);
    }
  });

  it('as a fresh sandbox would answer, for any codecs in any order', async () => {
    const codecs = [...STATEFUL, ...Object.values(ENDINGS).map(({ source }) => source)];
    const inputs = [uplink([1, 2, 3], 1), uplink([4], 2)];
    const answers = new Map<string, CodecOutcome>();
    const fresh = async (codec: number, input: number) => {
      const key = `${codec} ${input}`;
      const known = answers.get(key) ?? answerOf(await Sandbox.open(LIMITS), codec, input);
      answers.set(key, known);
      return known;
    };
    const answerOf = (one: Sandbox, codec: number, input: number) =>
      one.run(codecs[codec] ?? '', inputs[input] ?? uplink());
    const turn = fc.tuple(fc.nat(codecs.length - 1), fc.nat(inputs.length - 1));
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { minLength: 5, maxLength: 30 }), async (turns) => {
        for (const [codec, input] of turns) {
          expect(answerOf(sandbox, codec, input), codecs[codec]).to.deep.equal(await fresh(codec, input));
        }
      }),
      { numRuns: shortOrLong(2, 20) },
    );
  });

  it('for more codecs than are kept, and for one whose state is too large to keep', async () => {
    const roomy = await Sandbox.open({ ...LIMITS, memoryBytes: 16 * 1024 ** 2 });
    const numbered = (n: number) => `var n = ${n}; function decodeUplink() { n += 1; return { data: { n: n } }; }`;
    const large =
      'var a = new Uint8Array(9e6).fill(1), n = 0; function decodeUplink() { return { data: { n: n++ } }; }';
    for (let turn = 0; turn < 2; turn++) {
      for (let n = 0; n < 150; n++) expect(resultOf(roomy.run(numbered(n), uplink()))).to.deep.equal({ n: n + 1 });
      for (let n = 0; n < 12; n++) expect(resultOf(roomy.run(`${large} // ${n}`, uplink()))).to.deep.equal({ n: 0 });
    }
  });

  it('but not the time at which it was read', async () => {
    const source = 'var at = Date.now(); function decodeUplink() { return { data: { at: at } }; }';
    const first = Date.now();
    expect(resultOf(sandbox.run(source, uplink())))
      .to.have.property('at')
      .that.is.within(first, Date.now());
    while (Date.now() < first + 3) await new Promise(setImmediate);
    expect(resultOf(sandbox.run(source, uplink())))
      .to.have.property('at')
      .that.is.within(first + 3, Date.now());
  });

  it('with the same random numbers', () => {
    const draw = 'return { data: { n: Math.random() } };';
    expect(runBody(sandbox, draw)).to.deep.equal(runBody(sandbox, draw));
  });

  it('in memory that stays bounded over thousands of uplinks which fill theirs, of hundreds of codecs', () => {
    const source = `function decodeUplink() {
      var a = [];
      for (var i = 0; i < 8; i++) a.push(new Uint8Array(1e6).fill(i + 1));
      return { data: { n: a.length } };
    }`;
    let codecs = 0;
    const fill = () => {
      for (let i = 0; i < 1_000; i++) {
        if (i % 2 === 0) codecs += 1;
        expect(sandbox.run(`${source} // ${codecs}`, uplink())).to.deep.equal({ data: { n: 8 } });
      }
      return process.memoryUsage.rss();
    };
    const middle = fill();
    expect(fill() - middle).to.be.below(64 * 1024 ** 2);
  });

  it('keeps its state in memory and one global: the stack pointer', async () => {
    // So that a new version of the engine which has another one does not go unseen.
    const path = createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm');
    expect(countOf(await readFile(path), GLOBALS)).to.equal(1);
  });
});

function sources(codecs: Readonly<Record<string, string>>): Record<string, { source: string }> {
  return Object.fromEntries(Object.entries(codecs).map(([what, source]) => [what, { source }]));
}

const GLOBALS = 6;

/** How many entries a section of a WebAssembly module has. */
function countOf(module: Buffer, section: number): number {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module.readUInt8(at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < module.length) {
    const id = module.readUInt8(at++);
    const length = number();
    if (id === section) return number();
    at += length;
  }
  return 0;
}
