import { z } from 'zod';
import { decode, packr } from './batch.ts';

/** What an admin did with a dead letter. */
export type DeadAct = 'replayed' | 'discarded';

/** The other kind of entry in the dead-letter log: what became of the letter at `offset`, who did it, and when (Unix ms). */
export interface DeadMark {
  /** The letter's farm; empty for a letter whose farm is unknown. */
  readonly farm: string;
  readonly offset: number;
  readonly act: DeadAct;
  readonly by: string;
  readonly at: number;
}

// The second element of a dead letter is a list, and that of a mark is a text: neither can be read as the other.
const markMessage = z.tuple([
  z.literal(1),
  z.literal('mark'),
  z.string().max(1024),
  z.int().min(0),
  z.enum(['replayed', 'discarded']),
  z.string().max(1024),
  z.number(),
]);

/** The bytes of a mark, for the dead-letter log. */
export function encodeMark({ farm, offset, act, by, at }: DeadMark): Uint8Array {
  return packr.pack([1, 'mark', farm, offset, act, by, at]);
}

/** The mark in a message of the dead-letter log. Throws EncodingInvalid, for a letter too. */
export function decodeMark(bytes: Uint8Array): DeadMark {
  const [, , farm, offset, act, by, at] = decode(markMessage, bytes, 'mark on a dead letter');
  return { farm, offset, act, by, at };
}
