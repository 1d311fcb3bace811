import base from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { z } from 'zod';
import type { CodecInput, CodecLimits, CodecOutcome } from './codec.ts';

/**
 * The code that runs after the codec's own text and calls it. `decodeUplink` is the LoRa Alliance's payload codec API
 * (TS013). Network servers called `Decode` or `Decoder` before that, and makers still publish such codecs.
 */
const CALL = `(function (input) {
  input.recvTime = new Date(input.recvTime);
  if (typeof decodeUplink === 'function') return JSON.stringify(decodeUplink(input));
  if (typeof Decode === 'function') return JSON.stringify({ data: Decode(input.fPort, input.bytes, {}) });
  if (typeof Decoder === 'function') return JSON.stringify({ data: Decoder(input.bytes, input.fPort) });
  throw new Error('the file has no function decodeUplink');
})`;

declare global {
  // Node's types lack `WebAssembly.Memory`. The types of browsers have it, but with all their other globals.
  namespace WebAssembly {
    class Memory {
      constructor(pages: { readonly initial: number; readonly maximum: number });
      readonly buffer: ArrayBuffer;
      grow(pages: number): number;
    }
  }
}

/** Bytes of a page of WebAssembly's memory, and the pages that the engine begins with. */
const PAGE = 64 * 1024;
const ENGINE_PAGES = 256;

/** Codecs may write to a console; what they write is dropped. */
const CONSOLE = 'globalThis.console = { log() {}, info() {}, warn() {}, error() {}, debug() {} };';

const answerSchema = z.looseObject({ data: z.unknown().optional(), errors: z.array(z.unknown()).optional() });

/**
 * A second JavaScript engine, inside WebAssembly, for codecs that other people wrote. They have no files, sockets,
 * timers or objects of Loam, and limits on steps and memory.
 *
 * Each uplink has an engine of its own, which reads the codec's file anew: variables, changed builtins and pending
 * promises end with it. Makers' decoders keep cursors and buffers in globals, and one file decodes for many sensors.
 */
export class Sandbox {
  private readonly quickjs: QuickJSWASMModule;
  private readonly limits: CodecLimits;

  private constructor(quickjs: QuickJSWASMModule, limits: CodecLimits) {
    this.quickjs = quickjs;
    this.limits = limits;
  }

  static async open(limits: CodecLimits): Promise<Sandbox> {
    // The engine's own limit counts allocations, not their size: only a limit on all memory bounds arrays and texts.
    const maximum = ENGINE_PAGES + Math.ceil(limits.memoryBytes / PAGE);
    const wasmMemory = new WebAssembly.Memory({ initial: ENGINE_PAGES, maximum });
    // The package's types describe its CommonJS form, where the default export is one level deeper.
    const variant = newVariant('default' in base ? base.default : base, { wasmMemory });
    return new Sandbox(await newQuickJSWASMModuleFromVariant(variant), limits);
  }

  /** Runs the codec `source` on one uplink. Never throws, unless the engine itself is broken. */
  run(source: string, input: CodecInput): CodecOutcome {
    const runtime = this.quickjs.newRuntime();
    runtime.setMemoryLimit(this.limits.memoryBytes);
    runtime.setMaxStackSize(this.limits.stackBytes);
    // Reading the file and decoding are one run: the limit is on both together.
    runtime.setInterruptHandler(atMost(this.limits.steps));
    const context = runtime.newContext();
    try {
      return outcomeOf(context, source, input, this.limits.answerBytes);
    } finally {
      context.dispose();
      runtime.dispose();
    }
  }
}

/** Makes an interrupt handler that ends a run after `steps` steps. */
function atMost(steps: number): () => boolean {
  let left = steps;
  return () => {
    left -= 1;
    return left < 0;
  };
}

function outcomeOf(
  context: QuickJSContext,
  source: string,
  { bytes, fPort, recvTime }: CodecInput,
  answerBytes: number,
): CodecOutcome {
  const read = evaluate(context, `${CONSOLE}\n${source}\n;globalThis.__call = ${CALL};`, 'codec.js');
  if ('why' in read) return { why: `the codec cannot be read: ${read.why}` };
  const input = JSON.stringify({ bytes: [...bytes], fPort, recvTime });
  const ran = evaluate(context, `__call(${input})`, 'uplink.js');
  if ('why' in ran) return ran;
  return ran.text === undefined ? { why: 'the codec gave no answer' } : answered(ran.text, answerBytes);
}

/** Runs `code`: gives its result when that is a text (otherwise `text` is undefined), or `why` it threw. */
function evaluate(
  context: QuickJSContext,
  code: string,
  name: string,
): { readonly text: string | undefined } | { readonly why: string } {
  const result = context.evalCode(code, name);
  if (result.error) {
    const why = said(context.dump(result.error));
    result.error.dispose();
    return { why };
  }
  const text = context.typeof(result.value) === 'string' ? context.getString(result.value) : undefined;
  result.value.dispose();
  return { text };
}

function answered(text: string, answerBytes: number): CodecOutcome {
  if (text.length > answerBytes) return { why: `the codec's answer has more than ${answerBytes} bytes` };
  const answer = answerSchema.safeParse(parsed(text));
  if (!answer.success) return { why: 'the codec gave no object' };
  const { data, errors = [] } = answer.data;
  if (errors.length > 0) return { why: `the codec says: ${errors.map(String).join('; ').slice(0, 500)}` };
  return { data };
}

/** Undefined when the text is not JSON: the codec may have replaced `JSON.stringify`. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const thrown = z.object({ name: z.string().optional(), message: z.string() });

function said(error: unknown): string {
  const known = thrown.safeParse(error);
  const text = known.success ? `${known.data.name ?? 'Error'}: ${known.data.message}` : String(error);
  return text.replace('InternalError: interrupted', 'it took too long').slice(0, 500);
}
