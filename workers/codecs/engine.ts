import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import base from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { z } from 'zod';
import { explain } from '../../core/errors.ts';
import type { CodecLimits } from './codec.ts';
import { InstanceState, type Snapshot } from './instance-state.ts';

/** What a run gave: its result when that is a text (otherwise `text` is undefined), or `why` there is none. */
export type EngineAnswer = { readonly text: string | undefined } | { readonly why: string };

/** Bytes of a page of WebAssembly's memory, and the pages that the engine has for itself. */
const PAGE = 64 * 1024;
const ENGINE_PAGES = 256;

/** How the linker called the functions that the engine is given, and the one that tells it the time. */
const IMPORTS = 'a';
const CLOCK = 'p';

/**
 * QuickJS, a JavaScript engine inside WebAssembly, whose state can be kept and put back.
 *
 * What was made outside for a value inside is an address: it holds only as long as the state in which it was made. So a
 * run leaves no such thing behind, and nothing is freed after it: the memory is put back as a whole.
 */
export class Engine {
  private readonly state: InstanceState;
  private readonly context: QuickJSContext;
  private readonly clock: EngineClock;
  private readonly answerBytes: number;
  private stepsLeft = Number.POSITIVE_INFINITY;

  private constructor({ quickjs, state, clock }: EngineParts, limits: CodecLimits) {
    this.state = state;
    this.clock = clock;
    this.answerBytes = limits.answerBytes;
    const runtime = quickjs.newRuntime();
    runtime.setMemoryLimit(limits.memoryBytes);
    runtime.setMaxStackSize(limits.stackBytes);
    runtime.setInterruptHandler(() => {
      this.stepsLeft -= 1;
      return this.stepsLeft < 0;
    });
    this.context = runtime.newContext();
    clock.isStopped = false;
  }

  /** Rejects when the engine is of another build than this code knows. */
  static async open(limits: CodecLimits): Promise<Engine> {
    return new Engine(await instantiate(limits.memoryBytes), limits);
  }

  /** How often code inside asked for the time. */
  get clockReads(): number {
    return this.clock.reads;
  }

  /** Defines a function that can be called in this state, and in every state that follows from it. Throws what `code` throws. */
  define(code: string): QuickJSHandle {
    return this.context.unwrapResult(this.context.evalCode(code, 'loam.js', { type: 'global' }));
  }

  /** Runs a script, for at most `steps` steps. Never throws. */
  evaluate(code: string, name: string, steps: number): EngineAnswer {
    return this.run(steps, () => this.context.evalCode(code, name, { type: 'global' }));
  }

  /** Calls what `define` gave with a text, for at most `steps` steps. Never throws. */
  call(defined: QuickJSHandle, text: string, steps: number): EngineAnswer {
    const { context } = this;
    return this.run(steps, () => context.callFunction(defined, context.undefined, context.newString(text)));
  }

  snapshot(): Snapshot {
    return this.state.snapshot();
  }

  /** Whatever happened since, aborts and full memory among it, the engine is again what it was at `snapshot`. */
  restore(snapshot: Snapshot): void {
    this.state.restore(snapshot);
  }

  private run(steps: number, work: () => ReturnType<QuickJSContext['evalCode']>): EngineAnswer {
    this.stepsLeft = steps;
    try {
      const result = work();
      if (result.error) return { why: said(this.context.dump(result.error)) };
      return this.textOf(result.value);
    } catch (error) {
      // WebAssembly gave up in the middle: it failed, or Node's stack was full before the engine saw that its own was.
      return { why: error instanceof RangeError ? 'stack overflow' : `the engine broke off: ${explain(error)}` };
    }
  }

  private textOf(value: QuickJSHandle): EngineAnswer {
    const { context } = this;
    if (context.typeof(value) !== 'string') return { text: undefined };
    if (context.getNumber(context.getProp(value, 'length')) > this.answerBytes) {
      return { why: `the codec's answer has more than ${this.answerBytes} bytes` };
    }
    return { text: context.getString(value) };
  }
}

interface EngineClock {
  reads: number;
  /**
   * Random numbers begin with the time at which the engine was made. It is told that this was always at the same moment,
   * so that every worker makes the same of an uplink, and a replay too.
   */
  isStopped: boolean;
}

interface EngineParts {
  readonly quickjs: QuickJSWASMModule;
  readonly state: InstanceState;
  readonly clock: EngineClock;
}

async function instantiate(memoryBytes: number): Promise<EngineParts> {
  // The engine's own limit counts allocations, not their size: only a limit on all memory bounds arrays and texts.
  const pages = ENGINE_PAGES + Math.ceil(memoryBytes / PAGE);
  const wasmMemory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { resolve } = createRequire(import.meta.url);
  const module = await WebAssembly.compile(await readFile(resolve('@jitl/quickjs-wasmfile-release-sync/wasm')));
  const clock = { reads: 0, isStopped: true };
  let state: InstanceState | undefined;
  const emscriptenModule = {
    wasmMemory,
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(module, withClock(imports, clock));
      state = new InstanceState(wasmMemory, instance.exports);
      done(instance);
      return instance.exports;
    },
    // An abort is told as the reason of its uplink.
    print() {},
    printErr() {},
  };
  // The package's types describe its CommonJS form, where the default export is one level deeper.
  const variant = newVariant('default' in base ? base.default : base, { emscriptenModule });
  const quickjs = await newQuickJSWASMModuleFromVariant(variant);
  if (!state) throw new Error('the engine for codecs did not start');
  return { quickjs, state, clock };
}

function withClock(imports: WebAssembly.Imports, clock: EngineClock): WebAssembly.Imports {
  const tell = imports[IMPORTS]?.[CLOCK];
  if (typeof tell !== 'function') throw new Error('the engine for codecs is of another build: it has no clock');
  const counted = () => {
    clock.reads += 1;
    return clock.isStopped ? 0 : tell();
  };
  return { ...imports, [IMPORTS]: { ...imports[IMPORTS], [CLOCK]: counted } };
}

const thrown = z.object({ name: z.string().optional(), message: z.string() });

function said(error: unknown): string {
  const known = thrown.safeParse(error);
  // Where there is no memory for an error, null is thrown; where there is none to tell its text, that is empty.
  if (error === null || error === '') return 'out of memory, or the codec threw nothing';
  const text = known.success ? `${known.data.name ?? 'Error'}: ${known.data.message}` : asText(error);
  return text.replace('InternalError: interrupted', 'it took too long').slice(0, 500);
}

/** A value that a codec made, as a text. `String` throws for an object whose own `toString` is no function. */
export function asText(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
