import { formatValue } from '../format/value.ts';

/** More than any step of an axis has that a screen can show. */
const MOST_PLACES = 12;

/**
 * The texts of the marks of an axis of values. All have as many places as the one that needs most: a mark is drawn where
 * its value is, so 0.25 must not read 0.3. The topmost has the unit on a line of its own.
 */
export function valueMarks(marks: readonly number[], unit: string, locale: string | undefined): string[] {
  const step = Math.min(...marks.slice(1).map((mark, i) => Math.abs(mark - (marks[i] ?? mark))));
  // What is left over from adding steps up is far less than a step; of a lone mark its own size tells.
  const slack = (Number.isFinite(step) && step > 0 ? step : Math.abs(marks[0] ?? 0)) / 1e6;
  const decimals = Math.max(0, ...marks.map((mark) => placesOf(mark, slack)));
  // In place of −0, and of what is 0 but for that leftover.
  const texts = marks.map((mark) => formatValue(Math.abs(mark) <= slack ? 0 : mark, decimals, locale));
  if (unit !== '' && texts.length > 0) texts[texts.length - 1] += `\n${unit}`;
  return texts;
}

function placesOf(mark: number, slack: number): number {
  let places = 0;
  while (places < MOST_PLACES && Math.abs(Number(mark.toFixed(places)) - mark) > slack) places++;
  return places;
}
