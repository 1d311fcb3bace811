/**
 * A topic pattern: an MQTT filter in which a level, or the middle of one, may be a hole: `{sensor}` and `{metric}` take
 * one level, `{path}` takes all that are left.
 */

type TopicHole = 'sensor' | 'metric' | 'path';

/** One level: a text, any text (`+`), whatever is left (`#`), or a hole with what stands before and behind it. */
type PatternLevel =
  | { readonly is: 'text'; readonly text: string }
  | { readonly is: 'any' }
  | { readonly is: 'rest' }
  | { readonly is: 'hole'; readonly hole: TopicHole; readonly before: string; readonly after: string };

/** A pattern that was read. */
export interface TopicPattern {
  readonly levels: readonly PatternLevel[];
  readonly holes: ReadonlySet<TopicHole>;
  /** Patterns in this order of the alphabet are tried from the most to the least exact. */
  readonly order: string;
}

/** What the holes of a pattern took. `path` is the rest of the levels, joined by `_`. */
export type Taken = Partial<Record<TopicHole, string>>;

export const MOST_PATTERN = 512;
const MOST_LEVELS = 32;
/** Longer levels are no names. */
const MOST_NAME = 256;
const HOLES: readonly TopicHole[] = ['sensor', 'metric', 'path'];

/** A pattern, or, as a text, why it is none. */
export function readPattern(text: string): TopicPattern | string {
  if (text.length > MOST_PATTERN) return `it has more than ${MOST_PATTERN} characters`;
  const parts = text.split('/');
  if (parts.length > MOST_LEVELS) return `it has more than ${MOST_LEVELS} levels`;
  const [first = ''] = parts;
  if (first === '') return 'it begins with no level';
  if (first === 'farms' || first.startsWith('$')) return `topics under ${first} are Loam’s own`;
  const levels: PatternLevel[] = [];
  const holes = new Set<TopicHole>();
  for (const [i, part] of parts.entries()) {
    const level = readLevel(part);
    if (typeof level === 'string') return level;
    const takesRest = level.is === 'rest' || (level.is === 'hole' && level.hole === 'path');
    if (takesRest && i < parts.length - 1) return `${part} can only be the last level`;
    if (level.is === 'hole' && holes.has(level.hole)) return `{${level.hole}} is there twice`;
    if (level.is === 'hole') holes.add(level.hole);
    levels.push(level);
  }
  if (holes.has('metric') && holes.has('path')) return 'it has either {metric} or {path}';
  return { levels, holes, order: levels.map(orderOf).join('') };
}

function readLevel(part: string): PatternLevel | string {
  if (part === '+') return { is: 'any' };
  if (part === '#') return { is: 'rest' };
  for (const hole of HOLES) {
    const at = part.indexOf(`{${hole}}`);
    if (at < 0) continue;
    const [before, after] = [part.slice(0, at), part.slice(at + hole.length + 2)];
    if (hole === 'path' && part !== '{path}') return '{path} is a level of its own';
    return isPlain(before + after)
      ? { is: 'hole', hole, before, after }
      : `${part} has more than one hole, or a sign that filters have`;
  }
  return isPlain(part)
    ? { is: 'text', text: part }
    : `${part} is no level: there are {sensor}, {metric}, {path}, + and # alone, and texts`;
}

function isPlain(text: string): boolean {
  return !/[+#{}\p{Cc}]/u.test(text);
}

function orderOf(level: PatternLevel): string {
  if (level.is === 'text') return '0';
  if (level.is === 'rest' || (level.is === 'hole' && level.hole === 'path')) return '3';
  return level.is === 'hole' && level.before + level.after !== '' ? '1' : '2';
}

/** What the pattern takes of a topic, given as its levels; undefined when it is another topic. Takes time by the topic's length. */
export function takenBy({ levels }: TopicPattern, topic: readonly string[]): Taken | undefined {
  const taken: Taken = {};
  for (const [i, level] of levels.entries()) {
    // `a/#` is also `a`.
    if (level.is === 'rest') return topic.length >= i ? taken : undefined;
    const part = topic[i];
    if (part === undefined) return undefined;
    if (level.is === 'text' && part !== level.text) return undefined;
    if (level.is !== 'hole') continue;
    if (level.hole === 'path') {
      const path = topic.slice(i).join('_');
      return path.length === 0 || path.length > MOST_NAME ? undefined : { ...taken, path };
    }
    const { before, after } = level;
    const name = part.slice(before.length, part.length - after.length);
    const fits = part.length > before.length + after.length && part.startsWith(before) && part.endsWith(after);
    if (!fits || name.length > MOST_NAME) return undefined;
    taken[level.hole] = name;
  }
  return topic.length === levels.length ? taken : undefined;
}
