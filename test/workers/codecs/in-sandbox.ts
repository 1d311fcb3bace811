import { CODEC_LIMITS, type CodecInput, type CodecOutcome } from '../../../workers/codecs/codec.ts';
import type { Sandbox } from '../../../workers/codecs/sandbox.ts';

/** Less than is allowed outside tests, so that a loop ends soon. */
export const LIMITS = { ...CODEC_LIMITS, steps: 50, memoryBytes: 8 * 1024 ** 2 };

export function uplink(bytes: Uint8Array | readonly number[] = [1, 2, 3], fPort = 1): CodecInput {
  return { bytes: Uint8Array.from(bytes), fPort, recvTime: Date.UTC(2026, 4, 1, 12) };
}

/** The data that a codec made, or why there is none. */
export function resultOf(outcome: CodecOutcome): unknown {
  return 'why' in outcome ? outcome.why : outcome.data;
}

/** What `code`, the body of `decodeUplink`, makes of an uplink: its data, or why there is none. */
export function runBody(sandbox: Sandbox, code: string, input = uplink()): unknown {
  return resultOf(sandbox.run(`function decodeUplink(input) { ${code} }`, input));
}
