import type { GroundCorner } from './project.ts';

/** A sensor or a field, and where the registry says that it is. */
export interface PlacedThing {
  readonly id: string;
  readonly at: GroundCorner;
}

/** A thing whose position cannot be right, and how far it is from the others, metres. */
export interface Misplaced {
  readonly id: string;
  readonly metres: number;
}

/** What is so near to the middle of a farm may belong to it, however small the rest is, metres. */
const NEAR_M = 10_000;
/** And what is at most so many times as far as three in four of its things are. */
const TIMES = 20;
/** Of two things it is not known which one is wrong: only what no farm spans is told, metres. */
const ONE_FARM_M = 200_000;
/** At most this share of a farm's things, and at least one, is misplaced: more are a second site. */
const MOST_SHARE = 0.1;
const EARTH_M = 6_371_000;

/**
 * The things of a farm that are far from all the others: at 0,0, with latitude and longitude swapped, or with a wrong
 * digit. The plan would shrink everything else to a dot. Of two that are far apart it is the later one.
 */
export function misplacedOf(things: readonly PlacedThing[]): Misplaced[] {
  const set = things.filter((thing) => !isNowhere(thing));
  const counted = set.length > 0 ? set : things;
  const home = homeOf(counted);
  if (home === undefined) return [];
  const all = things.map((thing) => ({ ...thing, metres: metresBetween(thing.at, home) }));
  const sorted = counted.map(({ at }) => metresBetween(at, home)).sort((a, b) => a - b);
  const usual = sorted[Math.floor((sorted.length - 1) * 0.75)] ?? 0;
  const farthest = counted.length > 2 ? Math.max(NEAR_M, TIMES * usual) : ONE_FARM_M;
  const far = all.filter(({ metres }) => metres > farthest);
  const unset = far.filter(isNowhere);
  const isSite = far.length - unset.length > Math.max(1, Math.floor(counted.length * MOST_SHARE));
  return (isSite ? unset : far).map(({ id, metres }) => ({ id, metres }));
}

/** Nobody farms where the equator meets the meridian of Greenwich: it is what a position that was never set is. */
function isNowhere({ at: [latitude, longitude] }: PlacedThing): boolean {
  return Math.abs(latitude) < 0.01 && Math.abs(longitude) < 0.01;
}

/** In the middle of most things, wherever a few others are; of two it is the first. */
function homeOf(things: readonly PlacedThing[]): GroundCorner | undefined {
  const [first] = things;
  if (first === undefined || things.length < 3) return first?.at;
  // Around the first one's meridian: a farm may lie across the 180th.
  const [, base] = first.at;
  const turned = (longitude: number) => longitude - 360 * Math.round((longitude - base) / 360);
  return [medianOf(things.map(({ at }) => at[0])), medianOf(things.map(({ at }) => turned(at[1])))];
}

function medianOf(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? 0;
}

function metresBetween([latitudeA, longitudeA]: GroundCorner, [latitudeB, longitudeB]: GroundCorner): number {
  const [a, b] = [radians(latitudeA), radians(latitudeB)];
  const across = Math.sin(radians(longitudeB - longitudeA) / 2) ** 2;
  const share = Math.sin((b - a) / 2) ** 2 + Math.cos(a) * Math.cos(b) * across;
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(share)));
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
