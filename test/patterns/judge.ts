import { checkSync } from 'recheck';
import type { Pattern } from './find.ts';

// No time limit: on a busy machine the verdict would be another.
const LIMITS = { checker: 'automaton', timeout: null } as const;
/** From so many on, a counted repetition is judged as one without end: 2 to the 30th is a number that is fixed, too. */
const MANY = 10;
/** And as one of at least so few: what they are makes no difference to it, and a proof takes longer the more they are. */
const FEW = 2;

/**
 * Why the time of a match may grow faster than the text; undefined when it is proven that it does not. The proof follows the pattern's
 * automaton. What it cannot follow (a look ahead or behind, or a back reference, beside what repeats) is not taken on trust: it has to be written
 * another way.
 */
export function slowness({ source, flags }: Pick<Pattern, 'source' | 'flags'>): string | undefined {
  // The other backends are programs for some machines only: this one is JavaScript and says the same everywhere.
  process.env.RECHECK_SYNC_BACKEND = 'pure';
  const verdict = checkSync(withoutCounts(source), flags, LIMITS);
  switch (verdict.status) {
    case 'safe':
      return verdict.complexity.isFuzz ? 'it was only tried, not proven' : undefined;
    case 'vulnerable':
      return `${verdict.complexity.summary}, for example on ${verdict.attack.pattern}`;
    case 'unknown':
      return `nothing is proven: ${'message' in verdict.error ? verdict.error.message : verdict.error.kind}`;
  }
}

/** An escape, a class, or a count. */
const PART = /\\(?:[pPu]\{[^{}]*\}|.)|\[(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}/gs;

/** The pattern with counts that have no end where they reach MANY. */
function withoutCounts(source: string): string {
  return source.replace(PART, (part: string, least?: string, most: string | undefined = least) => {
    if (least === undefined || (most !== '' && Number(most) < MANY)) return part;
    return `{${Math.min(Number(least), FEW)},}`;
  });
}
