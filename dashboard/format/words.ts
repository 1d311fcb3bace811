import type { Level } from './value.ts';

/** Colours by what they mean; each comes with words and a shape, never alone. */
export type Tone = 'dry' | 'wet' | 'hot' | 'cold' | 'low' | 'high' | 'offline' | 'late' | 'none' | 'fine';

interface Wording {
  readonly words: string;
  readonly tone: Tone;
}

interface Pair {
  readonly low: Wording;
  readonly high: Wording;
}

const BY_NAME: readonly (readonly [RegExp, Pair])[] = [
  [/moisture|water_content|water_potential/, pair('Too dry', 'dry', 'Too wet', 'wet')],
  // How hard the soil holds its water: the more, the drier.
  [/tension|suction/, pair('Too wet', 'wet', 'Too dry', 'dry')],
  [/temperature/, pair('Too cold', 'cold', 'Too hot', 'hot')],
  [/battery/, pair('Battery low', 'low', 'Battery high', 'high')],
  [/rssi|snr|signal/, pair('Weak signal', 'low', 'Strong signal', 'high')],
];
const OTHERWISE = pair('Too low', 'low', 'Too high', 'high');

/** What a grower calls a value below or above its metric's range. */
export function wordingOf(metric: string, level: Exclude<Level, 'ok'>): Wording {
  const [, found] = BY_NAME.find(([name]) => name.test(metric)) ?? [undefined, OTHERWISE];
  return found[level];
}

function pair(low: string, lowTone: Tone, high: string, highTone: Tone): Pair {
  return { low: { words: low, tone: lowTone }, high: { words: high, tone: highTone } };
}

/** "1 sensor", "3 sensors". */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? `1 ${one}` : `${count} ${many}`;
}
