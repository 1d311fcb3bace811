import { smoothNoise } from './random.ts';
import { HOUR_MS } from './weather.ts';

const DAY_MS = 24 * HOUR_MS;
/** When the drippers run, hours UTC. */
const WATERINGS = [5, 15];
/** % of volume just before and just after a watering. */
const BEFORE = 24;
const AFTER = 33;
const WATERING_HOURS = 0.5;
/** After so many hours, two thirds of the added water have gone. */
const DRYING_HOURS = 7;

/** Soil moisture of a bed under drip irrigation, % of volume: up at every watering, down in between. */
export function drippedMoistureAt(now: number): number {
  const hour = (now % DAY_MS) / HOUR_MS;
  const last = WATERINGS.findLast((at) => at <= hour) ?? (WATERINGS.at(-1) ?? 0) - 24;
  const since = hour - last;
  if (since < WATERING_HOURS) return BEFORE + ((AFTER - BEFORE) * since) / WATERING_HOURS;
  return BEFORE + (AFTER - BEFORE) * Math.exp(-(since - WATERING_HOURS) / DRYING_HOURS);
}

/** The same where the dripper is blocked: too dry all week; watered a little by hand when a week begins. */
export function blockedMoistureAt(now: number): number {
  const week = (now / DAY_MS / 7) % 1;
  return 17.2 - 4.2 * week;
}

/** Air in a heated tunnel: °C, and % relative humidity. */
export function tunnelAirAt(now: number): { temperature: number; humidity: number } {
  const day = Math.sin(((now % DAY_MS) / DAY_MS - 0.34) * 2 * Math.PI);
  const weather = smoothNoise(77, now / (5 * HOUR_MS)) - 0.5;
  return { temperature: 19.5 + 4.5 * day + 2 * weather, humidity: 71 - 11 * day - 6 * weather };
}
