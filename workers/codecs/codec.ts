/** One uplink, for a codec. `recvTime` is Unix ms. */
export interface CodecInput {
  readonly bytes: Uint8Array;
  readonly fPort: number;
  readonly recvTime: number;
}

/** What a codec made of it: its `data`, or why there is none. */
export type CodecOutcome = { readonly data: unknown } | { readonly why: string };

/** Runs the codecs that the registry names. */
export interface Codecs {
  /** Never rejects. `file` is relative to the registry's folder. */
  decode(file: string, input: CodecInput): Promise<CodecOutcome>;
}

/** What one run of a codec may take. */
export interface CodecLimits {
  /**
   * Steps to read the file and decode one uplink: each is some ten thousand turns of a loop or calls of a function. Not a time,
   * which a busy machine would make a matter of luck.
   */
  readonly steps: number;
  /** A run that has not answered by then is at something that no step interrupts; its thread is ended, ms. */
  readonly hangMs: number;
  readonly memoryBytes: number;
  readonly stackBytes: number;
  /** Most bytes of the answer, as JSON. */
  readonly answerBytes: number;
}

export const CODEC_LIMITS: CodecLimits = {
  steps: 500,
  hangMs: 30_000,
  memoryBytes: 32 * 1024 ** 2,
  stackBytes: 256 * 1024,
  answerBytes: 64 * 1024,
};

/** Largest codec file, bytes. */
export const MAX_CODEC_BYTES = 1024 ** 2;

/** What the thread is asked, and what it answers. */
export interface CodecJob {
  readonly id: number;
  /** The codec's text. */
  readonly source: string;
  readonly input: CodecInput;
}

export type CodecAnswer = { readonly ready: true } | { readonly id: number; readonly outcome: CodecOutcome };
