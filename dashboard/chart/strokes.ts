/** How a line that is compared is told apart without its colour: by its dashes and by the marks upon it. */
export interface Stroke {
  /** Lengths of dashes and of the gaps between them, CSS pixels; none for a whole line. */
  readonly dash: readonly number[];
  /** Corners of the mark, within a square from -1 to 1. */
  readonly mark: readonly (readonly [x: number, y: number])[];
}

const round = Array.from({ length: 12 }, (_, i) => [Math.cos((i * Math.PI) / 6), Math.sin((i * Math.PI) / 6)] as const);
const square = corners([-0.85, -0.85, 0.85, -0.85, 0.85, 0.85, -0.85, 0.85]);
const up = corners([0, -1, 1, 0.8, -1, 0.8]);
const down = corners([0, 1, 1, -0.8, -1, -0.8]);
const diamond = corners([0, -1.2, 1, 0, 0, 1.2, -1, 0]);
const cross = corners([
  ...[-0.35, -1, 0.35, -1, 0.35, -0.35, 1, -0.35, 1, 0.35, 0.35, 0.35],
  ...[0.35, 1, -0.35, 1, -0.35, 0.35, -1, 0.35, -1, -0.35, -0.35, -0.35],
]);
const flat = corners([-1.2, -0.4, 1.2, -0.4, 1.2, 0.4, -1.2, 0.4]);
const tall = corners([-0.4, -1.2, 0.4, -1.2, 0.4, 1.2, -0.4, 1.2]);

/** In the order of the palette; each differs from every other by both dash and mark, or by its mark alone. */
export const STROKES: readonly Stroke[] = [
  { dash: [], mark: round },
  { dash: [9, 4], mark: square },
  { dash: [2, 3], mark: up },
  { dash: [10, 3, 2, 3], mark: diamond },
  { dash: [5, 3], mark: down },
  { dash: [14, 4], mark: cross },
  { dash: [9, 3, 2, 3, 2, 3], mark: tall },
  { dash: [4, 5], mark: flat },
];

const WHOLE: Stroke = { dash: [], mark: round };

/** The stroke of line `i`, counted from 0. */
export function strokeOf(i: number): Stroke {
  return STROKES[i % STROKES.length] ?? WHOLE;
}

/** Half of a mark's size, CSS pixels. */
export const MARK = 4.5;
/** How far marks of one line are apart, CSS pixels. */
const APART = 110;

/** How the marks of line `i` lie: those of several lines stand beside each other, not on top. */
export function isMarked(x: number, before: number | undefined, i: number): boolean {
  const first = (i % STROKES.length) * (APART / STROKES.length) + APART / 4;
  return before === undefined ? x >= first : x - before >= APART;
}

function corners(numbers: readonly number[]): (readonly [number, number])[] {
  return numbers.flatMap((x, i) => (i % 2 === 0 ? [[x, numbers[i + 1] ?? 0] as const] : []));
}
