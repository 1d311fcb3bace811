import { isObject } from './json.ts';

/** The words for a switch that is on or off. */
const WORDS: ReadonlyMap<string, boolean> = new Map([
  ['on', true],
  ['off', false],
  ['true', true],
  ['false', false],
]);
const MOST_WORD = 5;

/** Whether a text says that something is on or off; undefined for another text. */
export function isOnOff(text: string): boolean | undefined {
  return text.length > MOST_WORD ? undefined : WORDS.get(text.toLowerCase());
}

/** An object whose own texts for on and off are booleans. */
export function withNumbers(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    made[key] = typeof value === 'string' ? (isOnOff(value) ?? value) : value;
  }
  return made;
}

/** An object without these keys, at every level of it down to the eighth. */
export function without(
  values: Readonly<Record<string, unknown>>,
  keys: ReadonlySet<string>,
  depth = 0,
): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    if (keys.has(key)) continue;
    made[key] = isObject(value) && depth < 8 ? without(value, keys, depth + 1) : value;
  }
  return made;
}
