import { clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import { type DeadLetter, encodeLive, type Origin } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { unreadable } from '../validate.ts';

/** Publishes of a queue message: from <= place < to. */
export interface PublishRange {
  readonly from: number;
  readonly to: number;
}

/** All publishes of a message, however many they are. */
export const WHOLE: PublishRange = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** What became of a queue message, or of a part of one. */
export interface DecodedBatch {
  /** The batch's id; a part has an id of its own. */
  readonly id: string;
  readonly origin: Origin | undefined;
  readonly readings: readonly Reading[];
  /** The same readings, packed as an entry of the live log. */
  readonly live: Uint8Array;
  readonly dead: readonly DeadLetter[];
  /** Queue messages of publishes that are left to the slow queue: they need a codec, or could not be decoded in time. */
  readonly apart: readonly Uint8Array[];
  /** Queue messages of publishes that wait until somebody believes the clock by which they were received. */
  readonly undated: readonly Uint8Array[];
  /** How many publishes of each farm are done with this. Those that are left to another queue are not among them. */
  readonly publishes: ReadonlyMap<string, number>;
  /** When the oldest publish was received, an instant; undefined for none, and for a replay. */
  readonly oldest: number | undefined;
  /** How many texts and nulls other systems sent among their values. They are no measurements. */
  readonly skipped: number;
}

/** What a decoder is made of. */
export interface DecoderParts {
  /** Without it only what Loam knows by itself is used. */
  readonly registry?: RegistryView | undefined;
  /** Where the codecs are; only the decoder of the slow queue runs them. */
  readonly codecFolder?: string | undefined;
  /** Whether publishes wait that are dated by a doubted clock. */
  readonly waits?: boolean | undefined;
  readonly log: Logger;
  /** The time limit for one publish, ms. */
  readonly limitMs: number;
  readonly progressed: () => void;
  /** Called when a decode thread was ended, or ended by itself. */
  readonly lost: () => void;
}

/** Makes readings and dead letters of queue messages. */
export interface Decoder {
  /**
   * What became of the message, or of a part of it: usually one `DecodedBatch`, several when it had to be divided. Throws only when the decoder was
   * closed.
   */
  decode(body: Uint8Array, part?: PublishRange): AsyncIterable<DecodedBatch>;
  /** Why nothing can be decoded now; undefined when it can. */
  readonly trouble: string | undefined;
  /** Whether work waits for a thread that is not up yet. */
  readonly isStarting: boolean;
  close(): Promise<void>;
}

/** What became of a queue message that is no batch. */
export function decodedOfUnreadable(body: Uint8Array): DecodedBatch {
  return { ...NOTHING_DECODED, dead: [unreadable(body, clock.now())] };
}

export const NOTHING_DECODED: DecodedBatch = {
  id: '',
  origin: undefined,
  readings: [],
  live: encodeLive({ id: '', readings: [] }),
  dead: [],
  apart: [],
  undated: [],
  publishes: new Map(),
  oldest: undefined,
  skipped: 0,
};
