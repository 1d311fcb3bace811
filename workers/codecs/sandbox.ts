import { LRUCache } from 'lru-cache';
import type { QuickJSHandle } from 'quickjs-emscripten-core';
import { z } from 'zod';
import { type CodecInput, type CodecLimits, type CodecOutcome, MAX_INPUT_BYTES } from './codec.ts';
import { asText, Engine } from './engine.ts';
import type { Snapshot } from './instance-state.ts';
import { readPrelude } from './prelude.ts';

/**
 * Calls the codec. `decode` is for topics that a mapping leaves to a codec. `decodeUplink` is the LoRa Alliance's payload codec API (TS013). Network servers called `Decode` or
 * `Decoder` before that, and makers still publish such codecs.
 */
const CALL = `(function () {
  const { parse } = JSON;
  const Time = Date;
  return function (text) {
    const input = parse(text);
    input.recvTime = new Time(input.recvTime);
    const { topic, bytes, recvTime: received } = input;
    if (topic !== undefined && typeof decode === 'function') return JSON.stringify({ data: decode({ topic, bytes, received }) });
    if (typeof decodeUplink === 'function') return JSON.stringify(decodeUplink(input));
    if (typeof Decode === 'function') return JSON.stringify({ data: Decode(input.fPort, input.bytes, {}) });
    if (typeof Decoder === 'function') return JSON.stringify({ data: Decoder(input.bytes, input.fPort) });
    throw new Error('the file has no function decode' + (topic === undefined ? 'Uplink' : ''));
  };
})()`;

/**
 * So many codecs are kept as they were read, in so many bytes; a codec that is not among them is read again. One that alone
 * would take the place of many is read for each uplink.
 */
const MOST_CODECS = 128;
const MOST_BYTES = 64 * 1024 ** 2;
const LARGEST_BYTES = 8 * 1024 ** 2;

/** The state after a codec's file was read, or why it cannot be read. */
type Codec = { readonly snapshot: Snapshot } | { readonly why: string };

/** Objects in objects of an answer. Who goes through it uses the stack for each. */
const MOST_LEVELS = 100;

const answerSchema = z.looseObject({ data: z.unknown().optional(), errors: z.array(z.unknown()).optional() });

/**
 * A second JavaScript engine, inside WebAssembly, for codecs that other people wrote. They have no files, sockets,
 * timers or objects of Loam, and limits on steps and memory.
 *
 * A codec's file is read once. Each uplink begins with the state after that: variables, changed builtins and pending
 * promises of the one before are gone. Makers' decoders keep cursors and buffers in globals, and one file decodes for
 * many sensors. All codecs share one engine, which is put into the state of the codec whose turn it is.
 */
export class Sandbox {
  private readonly engine: Engine;
  private readonly limits: CodecLimits;
  private readonly callCodec: QuickJSHandle;
  /** The state in which no codec was read yet. */
  private readonly empty: Snapshot;
  private readonly codecs = new LRUCache<string, Codec>({
    max: MOST_CODECS,
    maxSize: MOST_BYTES,
    maxEntrySize: LARGEST_BYTES,
    sizeCalculation: (codec, source) => 2 * source.length + 1_000 + ('snapshot' in codec ? size(codec.snapshot) : 0),
  });

  private constructor(engine: Engine, prelude: string, limits: CodecLimits) {
    this.engine = engine;
    this.limits = limits;
    engine.define(prelude);
    this.callCodec = engine.define(CALL);
    this.empty = engine.snapshot();
  }

  /** Rejects when a package that it needs is missing or of another version. */
  static async open(limits: CodecLimits): Promise<Sandbox> {
    const [engine, prelude] = await Promise.all([Engine.open(limits), readPrelude()]);
    return new Sandbox(engine, prelude, limits);
  }

  /** Runs the codec `source` on one uplink. Never throws. */
  run(source: string, { bytes, fPort, recvTime, topic }: CodecInput): CodecOutcome {
    if (bytes.length > MAX_INPUT_BYTES) {
      return { why: `${bytes.length} bytes are too many for a codec: it is given at most ${MAX_INPUT_BYTES}` };
    }
    const codec = this.begin(source);
    if ('why' in codec) return codec;
    const input = JSON.stringify({ bytes: [...bytes], fPort, recvTime, topic });
    const ran = this.engine.call(this.callCodec, input, this.limits.steps);
    if ('why' in ran) return ran;
    return ran.text === undefined ? { why: 'the codec gave no answer' } : answered(ran.text);
  }

  /** Puts the engine into the state after the codec was read. */
  private begin(source: string): Codec {
    const known = this.codecs.get(source);
    if (known) {
      if ('snapshot' in known) this.engine.restore(known.snapshot);
      return known;
    }
    this.engine.restore(this.empty);
    const reads = this.engine.clockReads;
    const read = this.engine.evaluate(source, 'codec.js', this.limits.steps);
    const codec =
      'why' in read ? { why: `the codec cannot be read: ${read.why}` } : { snapshot: this.engine.snapshot() };
    // What was made of the time when the file was read would be of that time for ever.
    if (this.engine.clockReads === reads) this.codecs.set(source, codec);
    return codec;
  }
}

function size({ variables, heap }: Snapshot): number {
  return variables.length + heap.length;
}

function answered(text: string): CodecOutcome {
  const answer = answerSchema.safeParse(parsed(text));
  if (!answer.success) return { why: 'the codec gave no object' };
  if (isDeeper(answer.data, MOST_LEVELS)) return { why: `the codec's answer has more than ${MOST_LEVELS} levels` };
  const { data, errors = [] } = answer.data;
  if (errors.length > 0) return { why: `the codec says: ${errors.map(asText).join('; ').slice(0, 500)}` };
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

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}
