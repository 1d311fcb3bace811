import type { UnitSystem } from '../format/units.ts';
/** Latitude and longitude, degrees. */
export type GroundCorner = readonly [latitude: number, longitude: number];
/** Metres east and south of the plan's north-western corner. */
export type Point = readonly [x: number, y: number];

export interface Projection {
  readonly width: number;
  readonly height: number;
  readonly place: (corner: GroundCorner) => Point;
}

const METRES_A_DEGREE = 111_320;
/** A lone sensor still gets a plan around it. */
const LEAST_METRES = 60;

/**
 * A flat map, to scale, of the box around `corners`: over a farm's few kilometres a degree of longitude is as long everywhere.
 * Undefined without corners. `margin` is a share of the longer side.
 */
export function projectionOf(corners: readonly GroundCorner[], margin = 0.06): Projection | undefined {
  if (corners.length === 0) return undefined;
  const [south, north] = boundsOf(corners.map(([latitude]) => latitude));
  const longitudes = unwrapped(corners.map(([, longitude]) => longitude));
  const [west, east] = boundsOf(longitudes);
  const perLongitude = METRES_A_DEGREE * Math.cos((((south + north) / 2) * Math.PI) / 180);
  const wide = Math.max(LEAST_METRES, (east - west) * perLongitude);
  const high = Math.max(LEAST_METRES, (north - south) * METRES_A_DEGREE);
  const edge = Math.max(wide, high) * margin;
  const middle = (west + east) / 2;
  const centre = (south + north) / 2;
  return {
    width: wide + 2 * edge,
    height: high + 2 * edge,
    place: ([latitude, longitude]) => [
      edge + wide / 2 + (near(longitude, middle) - middle) * perLongitude,
      edge + high / 2 - (latitude - centre) * METRES_A_DEGREE,
    ],
  };
}

/** Where a shape's name stands well: the middle of its area, or of its corners when it has none. */
export function middleOf(points: readonly Point[]): Point {
  let area = 0;
  let x = 0;
  let y = 0;
  for (const [i, [x1, y1]] of points.entries()) {
    const [x2, y2] = points[(i + 1) % points.length] ?? [x1, y1];
    const cross = x1 * y2 - x2 * y1;
    area += cross;
    x += (x1 + x2) * cross;
    y += (y1 + y2) * cross;
  }
  if (Math.abs(area) > 1e-6) return [x / (3 * area), y / (3 * area)];
  const count = Math.max(1, points.length);
  return [points.reduce((sum, [px]) => sum + px, 0) / count, points.reduce((sum, [, py]) => sum + py, 0) / count];
}

/** Places tried in each direction. */
const GRID = 14;
/** A name over a sensor hides it; one over an edge is only less pretty. */
const DOT_WEIGHT = 3;
const EDGE_WEIGHT = 0.5;

/** A dot's radius with its rim, in heights of a letter. */
const DOT = 0.4;
/** Half of a letter's width in bold, and of two lines with a dot beside them, in heights of a letter. */
const HALF_LETTER = 0.34;
const HALF_LINES = 1.5;
/** The line below the name is a value or a few words. */
const LEAST_LETTERS = 8;

/** What a plan's labels and dots take up, metres. */
export interface Sizes {
  /** Half of the label's width and height. */
  readonly half: Point;
  /** A dot's radius. */
  readonly dot: number;
}

/** The sizes for a field of this `name`, in letters that are `em` metres high. */
export function sizesOf(name: string, em: number): Sizes {
  return { half: [Math.max(name.length, LEAST_LETTERS) * HALF_LETTER * em, HALF_LINES * em], dot: DOT * em };
}

/** Where the middle of a field's label stands: inside its `outline`, off its `dots` and its edges as far as may be. */
export function labelPlace(outline: readonly Point[], dots: readonly Point[], sizes: Sizes): Point {
  const middle = middleOf(outline);
  if (dots.length === 0 || outline.length < 3) return middle;
  const [left, right] = boundsOf(outline.map(([x]) => x));
  const [top, bottom] = boundsOf(outline.map(([, y]) => y));
  let best = middle;
  let bestRoom = Number.NEGATIVE_INFINITY;
  for (let i = 1; i < GRID; i++) {
    for (let j = 1; j < GRID; j++) {
      const at: Point = [left + ((right - left) * i) / GRID, top + ((bottom - top) * j) / GRID];
      if (!isInside(at, outline)) continue;
      const enough = Math.min(sizes.half[1] / 2, roomAt(at, outline, dots, sizes));
      const room = enough - 0.1 * Math.hypot(at[0] - middle[0], at[1] - middle[1]);
      if (room > bestRoom) {
        best = at;
        bestRoom = room;
      }
    }
  }
  return best;
}

/** How far the label is from the nearest dot or edge; below 0 when it is over one. */
function roomAt([x, y]: Point, outline: readonly Point[], dots: readonly Point[], { half, dot }: Sizes): number {
  const [halfX, halfY] = half;
  const toDots = dots.map(([dx, dy]) => {
    const [beside, above] = [Math.abs(dx - x) - halfX - dot, Math.abs(dy - y) - halfY - dot];
    return beside < 0 && above < 0
      ? DOT_WEIGHT * Math.max(beside, above)
      : Math.hypot(Math.max(beside, 0), Math.max(above, 0));
  });
  const corners = [-1, 1].flatMap((a) => [-1, 1].map((b): Point => [x + a * halfX, y + b * halfY]));
  return Math.min(...toDots, ...corners.map((corner) => EDGE_WEIGHT * toEdge(corner, outline)));
}

/** From a point to the nearest edge; below 0 outside. */
function toEdge(at: Point, outline: readonly Point[]): number {
  const nearest = Math.min(...outline.map((a, i) => toLine(at, a, outline[(i + 1) % outline.length] ?? a)));
  return isInside(at, outline) ? nearest : -nearest;
}

function toLine([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const share = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
  return Math.hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y);
}

function isInside([x, y]: Point, outline: readonly Point[]): boolean {
  let inside = false;
  for (const [i, [ax, ay]] of outline.entries()) {
    const [bx, by] = outline[(i + 1) % outline.length] ?? [ax, ay];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

const LENGTHS = {
  metric: { small: { unit: 'm', metres: 1 }, large: { unit: 'km', metres: 1_000 } },
  imperial: { small: { unit: 'ft', metres: 0.3048 }, large: { unit: 'mi', metres: 1_609.344 } },
} as const;

/** A scale bar: so long, metres, which is so many of `unit`. */
export interface Scale {
  readonly metres: number;
  readonly count: number;
  readonly unit: string;
}

/** A length in the reader's units, the large or the small one. */
export function scaledLength(length: number, system: UnitSystem): Pick<Scale, 'count' | 'unit'> {
  const { small, large } = LENGTHS[system];
  const { unit, metres } = length >= large.metres ? large : small;
  return { count: length / metres, unit };
}

/** A scale bar of a round length in the reader's units, at most `longest` metres: 1, 2 or 5 of a power of ten. */
export function scaleOf(longest: number, system: UnitSystem): Scale {
  const { small, large } = LENGTHS[system];
  const { unit, metres } = longest >= large.metres ? large : small;
  const most = longest / metres;
  const power = 10 ** Math.floor(Math.log10(most));
  const count = [5, 2, 1].map((n) => n * power).find((length) => length <= most) ?? power;
  return { metres: count * metres, count, unit };
}

function boundsOf(values: readonly number[]): [number, number] {
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
}

/** A farm may lie across the 180th meridian. */
function unwrapped(longitudes: readonly number[]): number[] {
  const [first = 0] = longitudes;
  return longitudes.map((longitude) => near(longitude, first));
}

function near(longitude: number, to: number): number {
  return longitude - 360 * Math.round((longitude - to) / 360);
}
