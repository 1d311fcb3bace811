/** One uplink, for a codec. `recvTime` is Unix ms. `topic` is that of a payload that came by a mapping. */
export interface CodecInput {
  readonly bytes: Uint8Array;
  readonly fPort: number;
  readonly recvTime: number;
  readonly topic?: string | undefined;
}

/** What a codec made of an uplink: its `data`, or why there is none. */
export type CodecOutcome = { readonly data: unknown } | { readonly why: string };

/** Runs the codecs that the registry names. */
export interface Codecs {
  /** Never throws. `name` is a codec in the registry, or a file relative to its folder. */
  decode(name: string, input: CodecInput): CodecOutcome;
}

/** Limits on one run of a codec. */
export interface CodecLimits {
  /**
   * Most steps to read the file, and as many again to decode one uplink. A step is some ten thousand turns of a loop or
   * calls of a function. Time is not the limit, because it depends on how busy the machine is.
   */
  readonly steps: number;
  readonly memoryBytes: number;
  readonly stackBytes: number;
  /** Longest answer, as JSON, in UTF-16 code units. */
  readonly answerBytes: number;
}

export const CODEC_LIMITS: CodecLimits = {
  steps: 500,
  memoryBytes: 32 * 1024 ** 2,
  stackBytes: 256 * 1024,
  answerBytes: 64 * 1024,
};

/** Largest codec file, bytes. */
export const MAX_CODEC_BYTES = 1024 ** 2;

/**
 * Most bytes that a codec is given at once. Codecs are written for messages of radios; many take time that grows with the
 * square of the length, in builtins that no step interrupts.
 */
export const MAX_INPUT_BYTES = 16 * 1024;
