import { copyFile, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { CODEC_LIMITS } from '../../workers/codecs/codec.ts';
import { CodecFiles } from '../../workers/codecs/codec-files.ts';
import { Sandbox } from '../../workers/codecs/sandbox.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { RECEIVED } from '../unit/telemetry-payloads.ts';

const UPLINK = Buffer.from('0CF400000C4A0730005710', 'hex');
const BYTES = { bytes: UPLINK, fPort: 2, recvTime: RECEIVED };
/** Less than is allowed outside tests, so that a loop ends soon. */
const LIMITS = { ...CODEC_LIMITS, steps: 50, memoryBytes: 8 * 1024 ** 2 };

describe('codecs', function () {
  this.timeout(180_000);
  let folder: string;
  let codecs: CodecFiles;

  before(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder, 'codecs'));
    await copyFile(new URL('codecs/lse01.js', import.meta.url), join(folder, 'codecs', 'lse01.js'));
    codecs = new CodecFiles(folder, await Sandbox.open(LIMITS));
  });

  after(async () => {
    await rm(folder, { recursive: true });
  });

  /** What a codec of this text makes of an uplink: its data, or why there is none. */
  async function run(source: string): Promise<unknown> {
    const file = `c${Math.random().toString(36).slice(2)}.js`;
    await writeFile(join(folder, file), source);
    const outcome = codecs.decode(file, BYTES);
    return 'why' in outcome ? outcome.why : outcome.data;
  }

  it('run as makers publish them', async () => {
    const outcome = codecs.decode('codecs/lse01.js', BYTES);
    expect(outcome).to.deep.equal({
      data: {
        BatV: 3.316,
        TempC_DS18B20: '0.00',
        water_SOIL: '31.46',
        temp_SOIL: '18.40',
        conduct_SOIL: 87,
        Sensor_flag: 1,
        received: new Date(RECEIVED).toISOString(),
      },
    });
  });

  it('may be of the kinds before it', async () => {
    expect(await run('function Decoder(bytes, port) { return { n: bytes.length, port: port }; }')).to.deep.equal({
      n: 11,
      port: 2,
    });
    expect(await run('function Decode(fPort, bytes) { return { n: bytes.length, port: fPort }; }')).to.deep.equal({
      n: 11,
      port: 2,
    });
  });

  it('that say they cannot decode are believed', async () => {
    expect(await run('function decodeUplink() { return { errors: ["too short", "odd"] }; }')).to.equal(
      'the codec says: too short; odd',
    );
  });

  it('that throw, loop, allocate, recurse or answer too much cost their own uplink only', async () => {
    const hostile: Record<string, string> = {
      'Error: no': 'function decodeUplink() { throw new Error("no"); }',
      'it took too long': 'function decodeUplink() { for (;;); }',
      'out of memory': 'function decodeUplink() { var a = []; for (;;) a.push(new Uint8Array(65536)); }',
      'stack overflow': 'function decodeUplink() { return decodeUplink(); }',
      'more than 65536 bytes': 'function decodeUplink() { return { data: { x: "y".repeat(100000) } }; }',
      'cannot be read: SyntaxError': 'function decodeUplink( {',
      'cannot be read: it took too long': 'for (;;);',
      'no function decodeUplink': 'var x = 1;',
      'no object': 'function decodeUplink() { return 7; }',
      'no answer': 'function decodeUplink() {}',
      'gave no object': 'JSON.stringify = function () { return "?"; }; function decodeUplink() {}',
    };
    for (const [why, source] of Object.entries(hostile)) expect(await run(source)).to.include(why);
    expect(codecs.decode('codecs/lse01.js', BYTES)).to.have.property('data');
  });

  it('reach nothing', async () => {
    const names = ['process', 'require', 'fetch', 'setTimeout', 'WebAssembly', 'Worker', 'performance', 'import'];
    const probe = names.map((name) => `${name}: typeof globalThis[${JSON.stringify(name)}]`).join(', ');
    expect(await run(`function decodeUplink() { return { data: { ${probe} } }; }`)).to.deep.equal(
      Object.fromEntries(names.map((name) => [name, 'undefined'])),
    );
    expect(
      await run('function decodeUplink() { return { data: { f: Function("return typeof process")() } }; }'),
    ).to.deep.equal({
      f: 'undefined',
    });
  });

  it('begin anew with each uplink, whatever one leaves behind', async () => {
    const answer = (code: string) => `function decodeUplink(input) { ${code} return { data: { n: n } }; }`;
    const leaving: Record<string, string> = {
      'a cursor': 'var at = 0; function decodeUplink(input) { return { data: { n: input.bytes[at++] - 11 } }; }',
      'a counter': `let n = 0; ${answer('n += 1;')}`,
      'a name without var': answer('if (typeof count === "undefined") count = 0; count += 1; var n = count;'),
      'a property of the global object': answer('globalThis.n = (globalThis.n || 0) + 1;'),
      'a closure': `var next = (function () { var n = 0; return function () { return ++n; }; })(); ${answer('var n = next();')}`,
      'a prototype': answer('Array.prototype.kept = ([].kept || 0) + 1; var n = [].kept;'),
      'a builtin': answer(
        'var n = Math.max(0, 0) + 1; var old = Math.max; Math.max = function (a, b) { return old(a, b) + 1; };',
      ),
      'a pattern that remembers its place': `var word = /./g; ${answer('word.test("abc"); var n = word.lastIndex;')}`,
      'a generator': `var all = (function* () { for (var i = 1; ; i++) yield i; })(); ${answer('var n = all.next().value;')}`,
      'a symbol': answer(
        'var s = Symbol.for("kept"); globalThis[s] = (globalThis[s] || 0) + 1; var n = globalThis[s];',
      ),
      'a promise': `var n = 1; ${answer('Promise.resolve().then(function () { n += 1; });')}`,
      'itself changed': `var n = 1; ${answer('decodeUplink = function () { return { data: { n: 2 } }; };')}`,
      'the call changed': `var n = 1; ${answer('__call = function () { return JSON.stringify({ data: { n: 2 } }); };')}`,
    };
    for (const [what, source] of Object.entries(leaving)) {
      const file = `leaves-${what.replaceAll(' ', '-')}.js`;
      await writeFile(join(folder, file), source);
      const outcomes = [];
      for (let i = 0; i < 3; i++) outcomes.push(codecs.decode(file, BYTES));
      expect(outcomes, what).to.deep.equal([{ data: { n: 1 } }, { data: { n: 1 } }, { data: { n: 1 } }]);
    }
  });

  it('keep nothing of an uplink that failed', async () => {
    const file = 'failing.js';
    await writeFile(
      join(folder, file),
      'var n = 0; function decodeUplink(input) { n += 1; if (input.fPort === 3) throw new Error("three"); return { data: { n: n } }; }',
    );
    const outcomes = [];
    for (const fPort of [2, 3, 2]) outcomes.push(codecs.decode(file, { ...BYTES, fPort }));
    expect(outcomes).to.deep.equal([{ data: { n: 1 } }, { why: 'Error: three' }, { data: { n: 1 } }]);
  });

  it('have a limit on steps to read the file, and the same again to decode', async () => {
    const turns = (count: number) => `for (var i = 0; i < ${count}; i++);`;
    const both = (reading: number, decoding: number) =>
      `${turns(reading)} function decodeUplink() { ${turns(decoding)} return { data: { a: 1 } }; }`;
    expect(await run(both(180_000, 180_000))).to.deep.equal({ a: 1 });
    expect(await run(both(360_000, 0))).to.equal('the codec cannot be read: it took too long');
    expect(await run(both(0, 360_000))).to.equal('it took too long');
  });

  it('have a limit on memory, whatever it is spent on', async () => {
    const spending = [
      'new ArrayBuffer(65536)',
      '"x".repeat(65536) + i',
      'new Array(5000).fill(i)',
      'new Float64Array(8e6)',
    ];
    for (const code of spending) {
      const loop = `for (var i = 0; i < 1000; i++) a.push(${code});`;
      const source = `function decodeUplink() { var a = []; ${loop} return { data: { n: 1 } }; }`;
      expect(await run(source), code).to.include('out of memory');
    }
    expect(
      await run('function decodeUplink() { return { data: { n: new ArrayBuffer(2e6).byteLength } }; }'),
    ).to.deep.equal({
      n: 2_000_000,
    });
  });

  it('are read again when their file changes, and said to be missing when it is not there', async () => {
    const file = join(folder, 'fixed.js');
    await writeFile(file, 'function decodeUplink() { return { errors: ["broken"] }; }');
    expect(codecs.decode('fixed.js', BYTES)).to.have.property('why');
    await writeFile(file, 'function decodeUplink() { return { data: { fixed: 1 } }; }');
    await utimes(file, new Date(), new Date(Date.now() + 5_000));
    await until('the codec to be read again', async () => {
      const outcome = codecs.decode('fixed.js', BYTES);
      return 'data' in outcome && JSON.stringify(outcome.data) === '{"fixed":1}';
    });
    expect(codecs.decode('codecs', BYTES)).to.have.property('why').that.includes('it is no file');
    expect(codecs.decode('missing.js', BYTES)).to.have.property('why').that.includes('ENOENT');
  });
});
