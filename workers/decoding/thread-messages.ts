import type { DeadLetter, Origin } from '../../telemetry/batch.ts';
import type { ReadingChange } from '../../telemetry/reading-registry.ts';
import type { PublishRange } from './decoder.ts';

/** So many messages may be with the thread at once, so that it does not wait for the main thread between two. */
export const PLACES = 4;
/** Room for each of them, bytes. A larger message is sent. */
export const PLACE_BYTES = 256 * 1024;

/** What a decode thread is started with. */
export interface DecodeSettings {
  /** Two 32-bit integers that say how far the thread is: `PLACE` and `STEPS`. They can be read when it hangs, and after it has ended. */
  readonly progress: SharedArrayBuffer;
  /** `PLACES` times `PLACE_BYTES`, where the main thread puts messages: memory that is used again costs a tenth of memory that is new for each message. */
  readonly input: SharedArrayBuffer;
  /** The folder of the codecs that the registry does not have itself. Without it, publishes that need a codec are left to the slow queue. */
  readonly codecFolder: string | undefined;
  /** Whether publishes wait that are dated by a doubted clock. */
  readonly waits: boolean;
  /** Sensors, as `farm/id`, whose publishes are left to the slow queue unread. */
  readonly apart: readonly string[];
}

/** In `progress`: the place, in its message, of the publish that is being decoded; or one of the values below. */
export const PLACE = 0;
/** In `progress`: grows with every publish and every message. */
export const STEPS = 1;
/** At `PLACE`: the message is being unpacked. */
export const UNPACKING = -1;
/** At `PLACE`: the results are being packed. */
export const PACKING = -2;

/** `rules`: what of the registry has changed; at first, all that it says. */
export type ToThread = { readonly rules: readonly ReadingChange[] } | DecodeJob;

export interface DecodeJob extends PublishRange {
  readonly id: number;
  /** The message, or how many bytes of its place in `input` it is: place `id % PLACES`. */
  readonly body: Uint8Array | number;
}

/** `DecodedBatch` as it comes from the thread: its readings are in `live` only. */
export interface DecodedInThread {
  readonly is: 'decoded';
  readonly batch: string;
  /** Where the part begins that was not taken, because there were too many readings already; undefined when there is none. */
  readonly rest: number | undefined;
  readonly origin: Origin | undefined;
  readonly live: Uint8Array;
  readonly dead: readonly DeadLetter[];
  readonly apart: Uint8Array | undefined;
  readonly undated: Uint8Array | undefined;
  readonly publishes: ReadonlyMap<string, number>;
  readonly oldest: number | undefined;
  readonly skipped: number;
  /** How long it took, ms. */
  readonly ms: number;
}

export type JobOutcome =
  | DecodedInThread
  | { readonly is: 'unreadable' }
  /** Decoding threw, or the thread ended or hung, at this place of the message (`PLACE`). */
  | { readonly is: 'failed'; readonly why: string; readonly place: number };

export type FromThread = { readonly ready: true } | { readonly id: number; readonly outcome: JobOutcome };
