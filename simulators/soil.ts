import { noise } from './random.ts';
import { clamp, type FarmPlace, HOUR_MS, rainAt, weatherAt } from './weather.ts';

/** Properties of a soil. Moistures are % of volume. */
export interface Soil {
  /** Plants wilt below this moisture. */
  readonly wilting: number;
  /** The moisture that stays when surplus water has drained. */
  readonly capacity: number;
  /** Depth of soil that the probe measures, mm. */
  readonly depth: number;
  /** Moisture at which irrigation begins; absent where nothing is irrigated. */
  readonly irrigateBelow?: number;
  readonly seed: number;
}

const STEP_MS = HOUR_MS / 2;
/** What was longer ago than 90 days no longer matters to a soil. */
const MEMORY_STEPS = (90 * 24 * HOUR_MS) / STEP_MS;
const IRRIGATION_MM_PER_HOUR = 4;
/** Irrigation starts in the early morning only, when the least water is lost. */
const IRRIGATION_HOURS_UTC = [2, 3, 4, 5];
const MOST_KEPT = 4;
const MOST_STEPS_KEPT = 4 * MEMORY_STEPS;

/** What weather does to soils in one step: the same for all soils of a place, so computed once for all. */
interface Draw {
  /** mm that plants would take in an hour if there were enough water. */
  readonly thirst: number;
  /** mm in an hour. */
  readonly rain: number;
}

/**
 * The weather of a place, step by step, as soils need it. At four times as many steps as a soil remembers, all are
 * dropped and computed anew.
 */
export class Climate {
  readonly place: FarmPlace;
  private readonly known = new Map<number, Draw>();

  constructor(place: FarmPlace) {
    this.place = place;
  }

  at(step: number): Draw {
    const known = this.known.get(step);
    if (known) return known;
    const now = step * STEP_MS;
    const { temperature, humidity, sunshine } = weatherAt(this.place, now);
    // In sunny, warm, dry air plants take more water.
    const thirst = Math.max(0, 0.0009 * sunshine + 0.004 * temperature * (1 - humidity / 100));
    const draw = { thirst, rain: rainAt(this.place, now) };
    if (this.known.size >= MOST_STEPS_KEPT) this.known.clear();
    this.known.set(step, draw);
    return draw;
  }
}

interface SoilCourse {
  step: number;
  moisture: number;
}

/**
 * The soil's water: rain and irrigation add to it, plants and drainage take from it.
 *
 * A pure function of time, although water adds up: it is computed in steps of half an hour from a fixed start months
 * before, and the last steps are kept so that the next moment need not begin there again.
 */
export class SoilWater {
  private readonly climate: Climate;
  private readonly soil: Soil;
  private readonly kept = new Map<number, SoilCourse>();

  constructor(climate: Climate, soil: Soil) {
    this.climate = climate;
    this.soil = soil;
  }

  /** % of volume at `now`, Unix ms. */
  moistureAt(now: number): number {
    const step = Math.floor(now / STEP_MS);
    const from = this.atStep(step);
    return from + (this.next(step, from) - from) * ((now - step * STEP_MS) / STEP_MS);
  }

  /** What is irrigated at `now`, mm in an hour. */
  irrigationAt(now: number): number {
    const step = Math.floor(now / STEP_MS);
    return this.irrigation(step, this.atStep(step));
  }

  private atStep(step: number): number {
    // All moments of the same 90 days have the same start, so that the answer does not depend on the order of calls.
    const start = Math.floor(step / MEMORY_STEPS) * MEMORY_STEPS - MEMORY_STEPS;
    const known = this.kept.get(start);
    const course =
      known && known.step <= step ? known : { step: start, moisture: (this.soil.wilting + this.soil.capacity) / 2 };
    while (course.step < step) {
      course.moisture = this.next(course.step, course.moisture);
      course.step += 1;
    }
    this.keep(start, course);
    return course.moisture;
  }

  private keep(start: number, course: SoilCourse): void {
    this.kept.delete(start);
    this.kept.set(start, course);
    const [oldest] = this.kept.keys();
    if (this.kept.size > MOST_KEPT && oldest !== undefined) this.kept.delete(oldest);
  }

  private next(step: number, moisture: number): number {
    const { wilting, capacity, depth } = this.soil;
    const hours = STEP_MS / HOUR_MS;
    const { thirst, rain } = this.climate.at(step);
    // The drier the soil, the less of its water plants can find.
    const found = clamp((moisture - wilting) / (capacity - wilting), 0, 1) ** 0.7;
    const lost = thirst * found * hours;
    const gained = (rain + this.irrigation(step, moisture)) * hours;
    const drained = Math.max(0, moisture - capacity) * 0.12 * hours;
    return clamp(moisture + ((gained - lost) / depth) * 100 - drained, wilting * 0.9, capacity * 1.35);
  }

  private irrigation(step: number, moisture: number): number {
    const { irrigateBelow, seed } = this.soil;
    if (irrigateBelow === undefined || moisture > irrigateBelow) return 0;
    const hour = Math.floor((step * STEP_MS) / HOUR_MS) % 24;
    // On one morning in five nobody opens the valve.
    const tended = noise(seed + 7, Math.floor((step * STEP_MS) / (24 * HOUR_MS))) < 0.8;
    return tended && IRRIGATION_HOURS_UTC.includes(hour) ? IRRIGATION_MM_PER_HOUR : 0;
  }
}

/** Soil temperature at `now` (Unix ms), °C: the mean of 24 hours, plus a third of the swing four hours before. */
export function soilTemperatureAt(place: FarmPlace, now: number): number {
  let mean = 0;
  for (let hour = 0; hour < 24; hour += 3) mean += weatherAt(place, now - hour * HOUR_MS).temperature / 8;
  const late = weatherAt(place, now - 4 * HOUR_MS).temperature;
  return Math.max(-2, mean + 0.35 * (late - mean));
}
