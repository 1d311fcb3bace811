import { LRUCache } from 'lru-cache';
import {
  newQuickJSWASMModuleFromVariant,
  type QuickJSContext,
  type QuickJSRuntime,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { z } from 'zod';
import type { CodecInput, CodecLimits, CodecOutcome } from './codec.ts';

/** Codecs kept ready. One more lets go of the one that was not used for longest. */
const MOST_READY = 32;

/**
 * What is run after the codec's own text. `decodeUplink` is the LoRa Alliance's payload codec API (TS013); `Decode` and `Decoder`
 * are what network servers called before it, and makers still publish.
 */
const CALL = `(function (input) {
  input.recvTime = new Date(input.recvTime);
  if (typeof decodeUplink === 'function') return JSON.stringify(decodeUplink(input));
  if (typeof Decode === 'function') return JSON.stringify({ data: Decode(input.fPort, input.bytes, {}) });
  if (typeof Decoder === 'function') return JSON.stringify({ data: Decoder(input.bytes, input.fPort) });
  throw new Error('the file has no function decodeUplink');
})`;

/** Codecs may talk to a console; nobody listens. */
const CONSOLE = 'globalThis.console = { log() {}, info() {}, warn() {}, error() {}, debug() {} };';

const answerSchema = z.looseObject({ data: z.unknown().optional(), errors: z.array(z.unknown()).optional() });

interface Ready {
  readonly runtime: QuickJSRuntime;
  readonly context: QuickJSContext;
}

/**
 * Another JavaScript engine inside WebAssembly, in which somebody else's codecs run: without files, sockets, timers or anything of ours,
 * and within limits on steps and memory. What breaks a limit costs its own uplink, and the codec is read anew for the next.
 */
export class Sandbox {
  private readonly quickjs: QuickJSWASMModule;
  private readonly ready = new LRUCache<string, Ready>({
    max: MOST_READY,
    dispose: ({ context, runtime }) => {
      context.dispose();
      runtime.dispose();
    },
  });

  private constructor(quickjs: QuickJSWASMModule) {
    this.quickjs = quickjs;
  }

  static async open(): Promise<Sandbox> {
    return new Sandbox(await newQuickJSWASMModuleFromVariant(import('@jitl/quickjs-wasmfile-release-sync')));
  }

  /** Runs the codec `source`, known by `key`, on one uplink. Never throws, unless the engine itself is broken. */
  run(key: string, source: string, input: CodecInput, limits: CodecLimits): CodecOutcome {
    const codec = this.ready.get(key) ?? this.prepare(source, limits);
    if ('why' in codec) return codec;
    const outcome = this.call(codec, input, limits);
    // After a failure nobody knows in which state its variables are.
    if ('why' in outcome) {
      if (!this.ready.delete(key)) dispose(codec);
    } else this.ready.set(key, codec);
    return outcome;
  }

  private prepare(source: string, limits: CodecLimits): Ready | { readonly why: string } {
    const runtime = this.quickjs.newRuntime();
    runtime.setMemoryLimit(limits.memoryBytes);
    runtime.setMaxStackSize(limits.stackBytes);
    const context = runtime.newContext();
    const codec = { runtime, context };
    const why = evaluate(codec, `${CONSOLE}\n${source}\n;globalThis.__call = ${CALL};`, limits);
    if (why === undefined) return codec;
    dispose(codec);
    return { why: `the codec cannot be read: ${why}` };
  }

  private call(codec: Ready, { bytes, fPort, recvTime }: CodecInput, limits: CodecLimits): CodecOutcome {
    const { context, runtime } = codec;
    const input = JSON.stringify({ bytes: [...bytes], fPort, recvTime });
    runtime.setInterruptHandler(atMost(limits.steps));
    const result = context.evalCode(`__call(${input})`, 'uplink.js');
    if (result.error) {
      const why = said(context.dump(result.error));
      result.error.dispose();
      return { why };
    }
    const text: unknown = context.dump(result.value);
    result.value.dispose();
    return typeof text === 'string' ? answered(text, limits) : { why: 'the codec gave no answer' };
  }
}

/** Interrupts what takes more steps. */
function atMost(steps: number): () => boolean {
  let left = steps;
  return () => {
    left -= 1;
    return left < 0;
  };
}

function evaluate({ context, runtime }: Ready, code: string, limits: CodecLimits): string | undefined {
  runtime.setInterruptHandler(atMost(limits.steps));
  const result = context.evalCode(code, 'codec.js');
  if (!result.error) {
    result.value.dispose();
    return undefined;
  }
  const why = said(context.dump(result.error));
  result.error.dispose();
  return why;
}

function answered(text: string, limits: CodecLimits): CodecOutcome {
  if (text.length > limits.answerBytes) return { why: `the codec's answer has more than ${limits.answerBytes} bytes` };
  const answer = answerSchema.safeParse(JSON.parse(text));
  if (!answer.success) return { why: 'the codec gave no object' };
  const { data, errors = [] } = answer.data;
  if (errors.length > 0) return { why: `the codec says: ${errors.map(String).join('; ').slice(0, 500)}` };
  return { data };
}

function dispose({ context, runtime }: Ready): void {
  context.dispose();
  runtime.dispose();
}

const thrown = z.object({ name: z.string().optional(), message: z.string() });

function said(error: unknown): string {
  const known = thrown.safeParse(error);
  const text = known.success ? `${known.data.name ?? 'Error'}: ${known.data.message}` : String(error);
  return text.replace('InternalError: interrupted', 'it took too long').slice(0, 500);
}
