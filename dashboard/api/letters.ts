import { finite, flag, listOf, oneOf, optional, record, text } from '../../client/shape-checks.ts';
import { farmPath } from './gateway.ts';
import { call } from './http.ts';

export const LETTER_STATES = ['open', 'replayed', 'discarded'] as const;
export type ShownLetterState = (typeof LETTER_STATES)[number];

/** A message that could not be taken: why, and what it was. */
export interface Letter {
  /** The letter's number in the log, by which calls name it. */
  readonly offset: number;
  /** When it was set aside, Unix ms. */
  readonly at: number;
  readonly sensor: string;
  readonly topic: string;
  readonly reason: string;
  readonly explanation: string;
  readonly state: ShownLetterState;
  /** Bytes of the whole payload. */
  readonly size: number;
  /** As text, or in hexadecimal; only its begin when it was `cut`. */
  readonly payload: string;
  readonly encoding: 'text' | 'hex';
  readonly cut: boolean;
  readonly settled: { readonly at: number; readonly by: string | undefined } | undefined;
}

export interface Letters {
  readonly letters: readonly Letter[];
  /** What `before` must be for the next page; undefined on the last. */
  readonly next: number | undefined;
  readonly counts: Readonly<Record<ShownLetterState, number>>;
  /** A warning that letters will be trimmed, to show as it is. */
  readonly warning: string | undefined;
}

/** A farm's id, or undefined for letters of no farm, which only admins of every farm see. */
export type Whose = string | undefined;

export async function getLetters(
  whose: Whose,
  { state, before }: { readonly state: ShownLetterState; readonly before?: number },
  signal: AbortSignal,
): Promise<Letters> {
  const search = new URLSearchParams({ state });
  if (before !== undefined) search.set('before', `${before}`);
  return readLetters(await call(`${lettersPath(whose)}?${search}`, { signal }));
}

/** One letter with its whole payload. */
export async function getLetter(whose: Whose, offset: number, signal: AbortSignal): Promise<Letter> {
  return readLetter(await call(`${lettersPath(whose)}/${offset}`, { signal }), 'letter');
}

export async function settleLetter(whose: Whose, offset: number, how: 'replay' | 'discard'): Promise<Letter> {
  return readLetter(await call(`${lettersPath(whose)}/${offset}/${how}`, { method: 'POST' }), 'letter');
}

function lettersPath(whose: Whose): string {
  return whose === undefined ? '/api/dead-letters' : `${farmPath(whose)}/dead-letters`;
}

export function readLetters(value: unknown): Letters {
  const answer = record(value, 'answer');
  const counts = record(answer.counts, 'counts');
  const log = optional(answer.log, 'log', record);
  return {
    letters: listOf(answer.letters, 'letters', readLetter),
    next: optional(answer.next, 'next', finite),
    counts: {
      open: finite(counts.open, 'counts.open'),
      replayed: finite(counts.replayed, 'counts.replayed'),
      discarded: finite(counts.discarded, 'counts.discarded'),
    },
    warning: optional(log?.warning, 'log.warning', text),
  };
}

function readLetter(value: unknown, path: string): Letter {
  const letter = record(value, path);
  return {
    offset: finite(letter.offset, `${path}.offset`),
    at: finite(letter.at, `${path}.at`),
    sensor: text(letter.sensor, `${path}.sensor`),
    topic: text(letter.topic, `${path}.topic`),
    reason: text(letter.reason, `${path}.reason`),
    explanation: text(letter.explanation, `${path}.explanation`),
    state: oneOf(letter.state, `${path}.state`, LETTER_STATES),
    size: finite(letter.size, `${path}.size`),
    payload: text(letter.payload, `${path}.payload`),
    encoding: oneOf(letter.encoding, `${path}.encoding`, ['text', 'hex'] as const),
    cut: flag(letter.cut, `${path}.cut`),
    settled: optional(letter.settled, `${path}.settled`, (given, at) => {
      const settled = record(given, at);
      return { at: finite(settled.at, at), by: optional(settled.by, at, text) };
    }),
  };
}
