import { z } from 'zod';
import type { NumberRange } from './number-ranges.ts';

/** How often entrances and workers say where they stand, ms. */
export const BEAT_MS = 15_000;

/** A worker has worked these batches off: each publish of them is stored, set aside as a dead letter, or in the slow queue. */
export interface DoneNote {
  readonly is: 'done';
  readonly worker: string;
  readonly run: string;
  readonly done: readonly NumberRange[];
  /** As in `BatchPlace`: the highest that the worker has read. */
  readonly confirmed: number;
}

/** A worker has had these batches in hand since its last such note, and has not worked them off. */
export interface HeldNote {
  readonly is: 'held';
  readonly worker: string;
  readonly held: readonly { readonly run: string; readonly numbers: readonly NumberRange[] }[];
  /** It stops, and has given back what it held. */
  readonly left: boolean;
}

/** What an entrance says of its run. */
export interface BeatNote {
  readonly is: 'beat';
  readonly run: string;
  /** Which entrance of Loam it is, such as `broker`. */
  readonly entrance: string;
  /** The highest number that was given to a batch. */
  readonly given: number;
  readonly confirmed: number;
  /** Numbers that the queue has not confirmed and that are not tried any more. */
  readonly gaveUp: readonly NumberRange[];
  /** How many messages wait in the entrance's spool, or have waited since the last beat: confirmed, and not in the queue yet. */
  readonly spooled: number;
  /** It numbers no more batches. */
  readonly ended: boolean;
}

/** What is known of one run. */
export interface RunState {
  readonly run: string;
  readonly entrance: string;
  readonly given: number;
  readonly confirmed: number;
  readonly spooled: number;
  /** Up to this number the queue may have them in another order: some were in the spool. */
  readonly mixed: number;
  /** The highest number that was worked off. */
  readonly done: number;
  /** In the order of all notes: the one with which it began (0: that was before the follower did), and the last one of its entrance. */
  readonly begunAs: number;
  readonly beatAs: number;
  /** Whether its numbers are counted yet: from 1, or from the number that its second beat has named. */
  readonly beats: number;
  /** Numbers that need no more attention. */
  readonly settled: readonly NumberRange[];
  readonly lost: readonly (NumberRange & { readonly agoMs: number })[];
}

/** What a follower had made of everything before `next`, so that another one can go on from there. */
export interface KeptNote {
  readonly is: 'kept';
  readonly epoch: string;
  readonly next: number;
  readonly runs: readonly RunState[];
  readonly workers: readonly (Omit<HeldNote, 'is' | 'left'> & { readonly silentMs: number })[];
}

export type AccountNote = DoneNote | HeldNote | BeatNote | KeptNote;

const name = z.string().max(64);
const whole = z.int().min(0);
const MOST_LISTED = 20_000;
const range = z.object({ from: whole, to: whole });
const ranges = z.array(range).max(MOST_LISTED);
const heldOf = z.array(z.object({ run: name, numbers: ranges })).max(MOST_LISTED);
const runState = z.object({
  run: name,
  entrance: name,
  given: whole,
  confirmed: whole,
  spooled: whole,
  mixed: whole,
  done: whole,
  begunAs: whole,
  beatAs: whole,
  beats: whole,
  settled: ranges,
  lost: z.array(range.extend({ agoMs: z.number() })).max(MOST_LISTED),
});
const SCHEMAS = {
  done: z.object({ is: z.literal('done'), worker: name, run: name, done: ranges, confirmed: whole }),
  held: z.object({ is: z.literal('held'), worker: name, held: heldOf, left: z.boolean() }),
  beat: z.object({
    is: z.literal('beat'),
    run: name,
    entrance: name,
    given: whole,
    confirmed: whole,
    gaveUp: ranges,
    spooled: whole,
    ended: z.boolean(),
  }),
  kept: z.object({
    is: z.literal('kept'),
    epoch: name,
    next: whole,
    runs: z.array(runState).max(MOST_LISTED),
    workers: z.array(z.object({ worker: name, held: heldOf, silentMs: z.number() })).max(MOST_LISTED),
  }),
} as const satisfies Record<AccountNote['is'], z.ZodType<AccountNote>>;
const known = z.discriminatedUnion('is', [SCHEMAS.done, SCHEMAS.held, SCHEMAS.beat, SCHEMAS.kept]);
const of = z.object({ is: z.string() });

/** Notes as they stand in an entry of the live log. Those of a kind that this version does not know are left out. */
export const accountNotes = z
  .array(of.loose())
  .transform((notes) => notes.filter(({ is }) => is in SCHEMAS))
  .pipe(z.array(known));
