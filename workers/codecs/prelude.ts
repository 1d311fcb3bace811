import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** The npm packages whose text is read inside, `buffer` and what it requires. */
const PACKAGES = ['base64-js', 'ieee754', 'buffer'];

/**
 * What makers' codecs take for granted beside the language: `Buffer`, `atob`, `btoa`, `TextDecoder`, `TextEncoder` and a
 * console whose lines are dropped. Given is a script that makes them inside the engine, out of the engine's own objects:
 * nothing of it leads out. Rejects when a package is not installed.
 */
export async function readPrelude(): Promise<string> {
  const { resolve } = createRequire(import.meta.url);
  const modules = PACKAGES.map(async (name) => {
    // With the slash it is the package of that name and not a module of Node's.
    const text = await readFile(resolve(`${name}/`), 'utf8');
    return `${JSON.stringify(name)}: function (module, exports, require) {${text}\n}`;
  });
  return `(${PRELUDE})({\n${(await Promise.all(modules)).join(',\n')}\n});`;
}

const PRELUDE = String.raw`function (modules) {
  'use strict';
  const loaded = {};
  const { Buffer } = require('buffer');

  function require(name) {
    if (!loaded[name]) {
      const module = { exports: {} };
      modules[name](module, module.exports, require);
      loaded[name] = module.exports;
    }
    return loaded[name];
  }

  // Labels by https://encoding.spec.whatwg.org/#names-and-labels: latin1 and ascii are windows-1252 there.
  const LABELS = {
    'utf-8': 'utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8',
    'windows-1252':
      'latin1 ascii us-ascii iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 iso-ir-100 l1 windows-1252 ' +
      'cp1252 x-cp1252 cp819 ibm819 csisolatin1 ansi_x3.4-1968',
  };
  // What windows-1252 has from 0x80 to 0x9f.
  const WINDOWS =
    '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
    '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

  class TextDecoder {
    constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
      const wanted = String(label).trim().toLowerCase();
      const found = Object.keys(LABELS).find((name) => LABELS[name].split(' ').includes(wanted));
      if (!found) throw new RangeError('the encoding "' + label + '" is not supported: utf-8 and latin1 are');
      this.encoding = found;
      this.fatal = Boolean(fatal);
      this.ignoreBOM = Boolean(ignoreBOM);
    }
    decode(source, { stream = false } = {}) {
      if (stream) throw new TypeError('a text that comes in parts is not supported');
      const bytes = bytesOf(source);
      if (this.encoding !== 'utf-8') return fromWindows(bytes);
      const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
      return fromUtf8(hasMark && !this.ignoreBOM ? bytes.subarray(3) : bytes, this.fatal);
    }
  }

  class TextEncoder {
    get encoding() {
      return 'utf-8';
    }
    encode(text = '') {
      return new Uint8Array(Buffer.from(String(text), 'utf8'));
    }
  }

  function bytesOf(source) {
    if (source === undefined) return new Uint8Array();
    if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    throw new TypeError('decode takes an ArrayBuffer or a view of one, such as a Uint8Array');
  }

  function fromWindows(bytes) {
    let text = '';
    for (const byte of bytes) {
      text += byte >= 0x80 && byte <= 0x9f ? WINDOWS[byte - 0x80] : String.fromCharCode(byte);
    }
    return text;
  }

  // https://encoding.spec.whatwg.org/#utf-8-decoder
  function fromUtf8(bytes, fatal) {
    let text = '';
    let point = 0;
    let needed = 0;
    let least = 0x80;
    let most = 0xbf;
    const damaged = () => {
      if (fatal) throw new TypeError('the bytes are not UTF-8');
      text += '\ufffd';
    };
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      if (needed > 0 && (byte < least || byte > most)) {
        damaged();
        needed = 0;
        // The byte that does not continue a sign may begin one.
        i -= 1;
      } else if (needed > 0) {
        point = (point << 6) | (byte & 0x3f);
        needed -= 1;
        if (needed === 0) text += String.fromCodePoint(point);
      } else if (byte < 0x80) {
        text += String.fromCharCode(byte);
        continue;
      } else if (byte >= 0xc2 && byte <= 0xf4) {
        needed = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        point = byte & (0x3f >> needed);
        least = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
        most = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
        continue;
      } else damaged();
      least = 0x80;
      most = 0xbf;
    }
    if (needed > 0) damaged();
    return text;
  }

  function atob(data) {
    let text = String(data).replace(/[\t\n\f\r ]/g, '');
    if (text.length % 4 === 0) text = text.replace(/==?$/, '');
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) refuse('the text is not Base64');
    return Buffer.from(text, 'base64').toString('latin1');
  }

  function btoa(data) {
    const text = String(data);
    if (/[^\0-\xff]/.test(text)) refuse('the text has characters above U+00FF');
    return Buffer.from(text, 'latin1').toString('base64');
  }

  function refuse(message) {
    const error = new Error(message);
    error.name = 'InvalidCharacterError';
    throw error;
  }

  const console = {};
  for (const name of (
    'log info warn error debug trace dir table group groupCollapsed groupEnd assert count countReset time timeEnd timeLog'
  ).split(' ')) {
    console[name] = function () {};
  }

  for (const [name, value] of Object.entries({ Buffer, atob, btoa, TextDecoder, TextEncoder, console })) {
    // As engines define their own globals: a codec may declare the same name.
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
}`;
