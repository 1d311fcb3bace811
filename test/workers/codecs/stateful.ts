/** Codecs that leave something behind, by what. Each gives `n: 1` at every uplink that begins with nothing left. */
export const LEAVING: Readonly<Record<string, string>> = {
  'a cursor': 'var at = 0; function decodeUplink(input) { return { data: { n: input.bytes[at++] } }; }',
  'a counter': `let n = 0; ${answer('n += 1;')}`,
  'a constant that is changed': `const kept = { n: 0 }; ${answer('kept.n += 1; var n = kept.n;')}`,
  'a name without var': answer('if (typeof count === "undefined") count = 0; count += 1; var n = count;'),
  'a property of the global object': answer('globalThis.n = (globalThis.n || 0) + 1; var n = globalThis.n;'),
  'a global that was deleted': answer('var n = typeof Buffer === "function" ? 1 : 2; delete globalThis.Buffer;'),
  'a closure': `var next = (function () { var n = 0; return function () { return ++n; }; })(); ${answer('var n = next();')}`,
  'a prototype': answer('Array.prototype.kept = ([].kept || 0) + 1; var n = [].kept;'),
  'the prototype of all objects': answer('var n = {}.kept ? 2 : 1; Object.prototype.kept = 1;'),
  'a getter on it': answer(
    'var n = {}.extra || 1; Object.defineProperty(Object.prototype, "extra", { get: function () { return 2; } });',
  ),
  'a frozen builtin': answer('var n = Object.isFrozen(Math) ? 2 : 1; Object.freeze(Math);'),
  'a builtin': answer(
    'var n = Math.max(0, 0) + 1; var old = Math.max; Math.max = function (a, b) { return old(a, b) + 1; };',
  ),
  'a Date of its own': answer(
    'var n = new Date(1).getTime(); Date = function () { this.getTime = function () { return 2; }; };',
  ),
  'a JSON of its own': answer('var n = JSON.parse("1"); JSON.parse = function () { return 2; };'),
  'a Buffer of its own': answer(
    'var n = Buffer.from([1])[0]; Buffer.from = function () { return [2]; }; Buffer.prototype.readUInt8 = null;',
  ),
  'a TextDecoder of its own': answer(
    'var n = Number(new TextDecoder().decode(new Uint8Array([49]))); TextDecoder.prototype.decode = function () { return 2; };',
  ),
  'a console of its own': answer('var n = console.log(1) || 1; console.log = function () { return 2; };'),
  'a pattern that remembers its place': `var word = /./g; ${answer('word.test("abc"); var n = word.lastIndex;')}`,
  'the last match of a pattern': `var word = /b/y; ${answer('var n = word.lastIndex + 1; word.lastIndex = 1;')}`,
  'a generator': `var all = (function* () { for (var i = 1; ; i++) yield i; })(); ${answer('var n = all.next().value;')}`,
  'a symbol': answer('var s = Symbol.for("kept"); globalThis[s] = (globalThis[s] || 0) + 1; var n = globalThis[s];'),
  'a promise': `var n = 1; ${answer('Promise.resolve().then(function () { n += 1; });')}`,
  'an async function': `var n = 1; async function later() { await 0; n += 1; } ${answer('later();')}`,
  'a weak map': `var kept = new WeakMap(), key = {}; ${answer('var n = (kept.get(key) || 0) + 1; kept.set(key, n);')}`,
  'a typed array': `var kept = new Uint8Array(70000); ${answer('var n = ++kept[69999];')}`,
  'a long list': `var kept = []; ${answer('for (var i = 0; i < 20000; i++) kept.push({}); var n = kept.length / 20000;')}`,
  'a cache of decoded texts': `var kept = {}; ${answer('kept["k" + Object.keys(kept).length] = 1; var n = Object.keys(kept).length;')}`,
  'random numbers drawn': `var first = Math.random(); ${answer('var n = globalThis.drawn ? 2 : 1; globalThis.drawn = Math.random();')}`,
  'itself changed': `var n = 1; ${answer('decodeUplink = function () { return { data: { n: 2 } }; };')}`,
  'code that was evaluated': answer(
    'var n = (0, eval)("typeof added === \\"undefined\\" ? 1 : 2"); (0, eval)("var added = 1;");',
  ),
  'a class': `class Meter { static count = 0; } ${answer('Meter.count += 1; var n = Meter.count;')}`,
};

function answer(code: string): string {
  return `function decodeUplink(input) { ${code} return { data: { n: n } }; }`;
}

/** Codecs whose answer is another one when something of an earlier uplink, or of another codec, is left. */
export const STATEFUL: readonly string[] = [
  ...Object.values(LEAVING),
  'var sum = 0; function decodeUplink(input) { input.bytes.forEach(function (b) { sum += b; }); return { data: { sum: sum } }; }',
  'var seen = []; function decodeUplink(input) { seen.push(input.fPort); if (input.fPort === 2) throw new Error(seen.join()); return { data: { seen: seen } }; }',
  'function Decoder(bytes, port) { Decoder.calls = (Decoder.calls || 0) + 1; return { calls: Decoder.calls, port: port, random: Math.random() }; }',
  'var last; function Decode(fPort, bytes) { var before = last; last = bytes[0]; return { before: before === undefined ? -1 : before }; }',
  'var a = []; function decodeUplink(input) { for (var i = 0; i < 30; i++) a.push(new Uint8Array(1e5).fill(input.fPort)); return { data: { n: a.length, sum: a[0][0] } }; }',
  'var a = []; try { for (;;) a.push(new Uint8Array(1000)); } catch (e) {} function decodeUplink(input) { return { data: { n: input.bytes.length } }; }',
  'var a = []; try { for (;;) a.push([0]); } catch (e) {} function decodeUplink(input) { a.push(input.bytes.length); return { data: { n: a.length } }; }',
];

/** Runs that end in the middle, by how, and why there is no answer. */
export const ENDINGS: Readonly<Record<string, { readonly source: string; readonly why: RegExp }>> = {
  'a loop': ending('for (;;);', /^it took too long$/),
  'a loop in a comparison': ending('[3, 2, 1].sort(function () { for (;;); });', /^it took too long$/),
  'a loop in a generator': ending('for (var x of (function* () { for (;;) yield 1; })());', /^it took too long$/),
  'a loop in a pattern': ending('/(a+)+$/.test("a".repeat(60) + "b");', /^it took too long$/),
  'a loop that catches': ending(
    'for (;;) { try { for (;;); } catch (e) {} finally { continue; } }',
    /^it took too long$/,
  ),
  'an error': ending('throw new Error("no");', /^Error: no$/),
  'a promise that is thrown': ending('throw Promise.reject(new Error("no"));', /no/),
  'full memory': ending('for (;;) kept.push(new Uint8Array(65536));', /out of memory/),
  'full memory, of texts': ending('for (;;) kept.push("x".repeat(65536) + kept.length);', /out of memory/),
  'full memory, of small things': ending('for (;;) kept.push({ a: [1] });', /out of memory|took too long/),
  'full memory that is caught': ending(
    'try { for (;;) kept.push(new Uint8Array(1000)); } catch (e) { for (;;) kept.push([kept.length]); }',
    /out of memory|took too long|engine|answer/,
  ),
  'a full stack': ending('return decodeUplink(input);', /stack overflow/),
  'a full stack, in a getter': ending('var o = { get a() { return this.a; } }; return o.a;', /stack overflow/),
  'a full stack, in a proxy': ending(
    'var p = new Proxy({}, { get: function (t, k) { return p[k]; } }); return p.a;',
    /stack overflow/,
  ),
  'a full stack, in a parser': ending('return eval("[".repeat(50000));', /stack overflow|SyntaxError/),
  'a full stack, in JSON': ending('return JSON.parse("[".repeat(200000));', /stack overflow|SyntaxError/),
  'a full stack, in a pattern': ending(
    'return new RegExp("(?:".repeat(50000)).test("");',
    /stack overflow|SyntaxError/,
  ),
  'a full stack, in an answer': ending(
    'var a = []; for (var i = 0; i < 100000; i++) a = [a]; return { data: a };',
    /stack overflow|levels|more than/,
  ),
  'a full stack, in a comparison': ending(
    'var a = [2, 1]; a.sort(function f() { return [2, 1].sort(f)[0]; }); return { data: a };',
    /stack overflow/,
  ),
};

function ending(code: string, why: RegExp): { readonly source: string; readonly why: RegExp } {
  return {
    source: `var kept = []; function decodeUplink(input) { Array.prototype.kept = 5; Math.max = null; ${code} }`,
    why,
  };
}
