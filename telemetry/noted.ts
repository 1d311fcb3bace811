import { z } from 'zod';

/** What somebody did who was signed in. The event log keeps it. */
export const ACT_KINDS = [
  'signed_in',
  'signed_out',
  'password_changed',
  'imported',
  'exported',
  'command_sent',
  'letter_replayed',
  'letter_discarded',
] as const;
/** Who was refused, and whose connection another one took over. The log of refusals keeps it. */
export const REFUSAL_KINDS = ['mqtt_refused', 'taken_over', 'sign_in_refused'] as const;
export type ActKind = (typeof ACT_KINDS)[number];
export type RefusalKind = (typeof REFUSAL_KINDS)[number];

/**
 * Something that somebody did, or was refused. What is not known is an empty text.
 *
 * - `id` tells entries apart: one that was appended again has the same.
 * - `at` is when, Unix ms. Of several at once (`count` above 1) when the last of them was.
 * - `who` is the user or sensor that it says it is; what was shown as a secret is never here.
 * - `from` is the address that it came from.
 * - `farm` and `sensor` are whom it is about, as far as that is certain.
 * - `why` is one word for programs: the reason of a refusal.
 * - `what` is a text for people, of at most MOST_NOTED characters. Parts of it may be foreign.
 */
export interface Noted {
  readonly kind: ActKind | RefusalKind;
  readonly id: string;
  readonly at: number;
  readonly who: string;
  readonly from: string;
  readonly farm: string;
  readonly sensor: string;
  readonly why: string;
  readonly what: string;
  readonly count: number;
}

/** The longest `what`, and the longest of the other texts, UTF-16 code units. */
export const MOST_NOTED = 1_000;
export const MOST_NAME = 128;

const VERSION = 1;
const name = z.string().max(MOST_NAME);
export const notedRow = z.tuple([
  z.literal(VERSION),
  z.enum([...ACT_KINDS, ...REFUSAL_KINDS]),
  name,
  z.number(),
  name,
  name,
  name,
  name,
  name,
  z.string().max(MOST_NOTED),
  z.int().min(1),
]);
const KINDS: ReadonlySet<string> = new Set([...ACT_KINDS, ...REFUSAL_KINDS]);

export function isNotedKind(kind: string): kind is Noted['kind'] {
  return KINDS.has(kind);
}

/** The entry as a list, for the log. Texts that are too long are cut. */
export function rowOfNoted({ kind, id, at, who, from, farm, sensor, why, what, count }: Noted) {
  const row: z.infer<typeof notedRow> = [
    VERSION,
    kind,
    cut(id, MOST_NAME),
    at,
    cut(who, MOST_NAME),
    cut(from, MOST_NAME),
    cut(farm, MOST_NAME),
    cut(sensor, MOST_NAME),
    cut(why, MOST_NAME),
    cut(what, MOST_NOTED),
    count,
  ];
  return row;
}

export function notedOfRow(row: z.infer<typeof notedRow>): Noted {
  const [, kind, id, at, who, from, farm, sensor, why, what, count] = row;
  return { kind, id, at, who, from, farm, sensor, why, what, count };
}

/** The first half of a character whose second half was cut off. */
const HALF = /[\uD800-\uDBFF]$/;

/** A text of at most `most` characters, in which a longer one ends with `…`. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(HALF, '')}…`;
}
