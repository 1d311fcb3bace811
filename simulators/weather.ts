import { noise, smoothNoise } from './random.ts';

/** Where a farm lies; `seed` gives it weather of its own, the same at every run. Degrees, north and east positive. */
export interface FarmPlace {
  readonly latitude: number;
  readonly longitude: number;
  readonly seed: number;
}

/** The weather at one moment. */
export interface Weather {
  /** °C */
  readonly temperature: number;
  /** Relative, % */
  readonly humidity: number;
  /** mm in an hour */
  readonly rain: number;
  /** Share of the sky, 0 to 1 */
  readonly clouds: number;
  /** What reaches the ground, W/m² */
  readonly sunshine: number;
}

export const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_DAYS = 365.2425;
/** Sunshine above the clouds with the sun overhead, W/m². */
const CLEAR_SKY = 1_000;
/** The ground and the air are warmest this long after the sun is highest. */
const LAG_MS = 2.5 * HOUR_MS;
/** For each period of this length it is decided anew whether it rains. */
const SPELL_MS = 6 * HOUR_MS;
const RAINY_SHARE = 0.11;

/** The weather of a place at `now` (Unix ms): a pure function of both. */
export function weatherAt(place: FarmPlace, now: number): Weather {
  const clouds = cloudsAt(place, now);
  const rain = rainAt(place, now);
  const sunshine = CLEAR_SKY * sunHeight(place, now) * (1 - 0.75 * clouds);
  const temperature = temperatureAt(place, now, clouds) - Math.min(3, rain);
  // The dew point changes slowly, so air that has cooled is moister: nights are damp, afternoons dry.
  const dewPoint = seasonMean(place, now) - 4.5 + 4 * (smoothNoise(place.seed + 4, now / DAY_MS) - 0.5);
  const humidity = clamp(100 * (saturation(dewPoint) / saturation(temperature)) + 12 * Math.min(1, rain), 18, 100);
  return { temperature, humidity, rain, clouds, sunshine };
}

/** How high the sun stands: sine of its elevation, 0 at night. */
export function sunHeight({ latitude, longitude }: FarmPlace, now: number): number {
  const hourAngle = ((now % DAY_MS) / DAY_MS) * 360 - 180 + longitude;
  const [lat, dec, angle] = [radians(latitude), declination(now), radians(hourAngle)];
  return Math.max(0, Math.sin(lat) * Math.sin(dec) + Math.cos(lat) * Math.cos(dec) * Math.cos(angle));
}

/** mm in an hour: showers that swell and fade within rainy spells. */
export function rainAt(place: FarmPlace, now: number): number {
  const spell = Math.floor(now / SPELL_MS);
  const strength = noise(place.seed + 1, spell);
  if (strength > RAINY_SHARE) return 0;
  const swell = Math.sin((Math.PI * (now % SPELL_MS)) / SPELL_MS);
  const gusts = smoothNoise(place.seed + 2, now / (20 * 60_000));
  return 5 * swell * gusts * (0.3 + strength / RAINY_SHARE);
}

function cloudsAt(place: FarmPlace, now: number): number {
  const drifting = smoothNoise(place.seed + 3, now / (5 * HOUR_MS));
  return clamp(rainAt(place, now) > 0 ? 0.75 + drifting / 4 : drifting ** 1.3, 0, 1);
}

function temperatureAt(place: FarmPlace, now: number, clouds: number): number {
  // The height of the sun some hours ago, less its mean over the day: the swing between night and afternoon.
  const swing = sunHeight(place, now - LAG_MS) - meanSunHeight(place, now);
  const front = 6 * (smoothNoise(place.seed + 5, now / (2.5 * DAY_MS)) - 0.5);
  const gust = 0.6 * (smoothNoise(place.seed + 6, now / (10 * 60_000)) - 0.5);
  return seasonMean(place, now) + swing * 14 * (1 - 0.5 * clouds) + front + gust;
}

/** The mean temperature of the season, °C: from the latitude, warmest a month after the longest day. */
function seasonMean({ latitude }: FarmPlace, now: number): number {
  const away = Math.abs(latitude);
  const phase = Math.cos((2 * Math.PI * (dayOfYear(now) - 202)) / YEAR_DAYS) * Math.sign(latitude || 1);
  return 28 - away * 0.36 + phase * away * 0.18;
}

/** The mean of `sunHeight` over the day, in closed form. */
function meanSunHeight({ latitude }: FarmPlace, now: number): number {
  const [lat, dec] = [radians(latitude), declination(now)];
  const halfDay = Math.acos(clamp(-Math.tan(lat) * Math.tan(dec), -1, 1));
  return (halfDay * Math.sin(lat) * Math.sin(dec) + Math.cos(lat) * Math.cos(dec) * Math.sin(halfDay)) / Math.PI;
}

function declination(now: number): number {
  return radians(-23.44 * Math.cos((2 * Math.PI * (dayOfYear(now) + 10)) / YEAR_DAYS));
}

/** Pressure of saturated vapour over water, hPa (Magnus). */
function saturation(celsius: number): number {
  return 6.112 * Math.exp((17.62 * celsius) / (243.12 + celsius));
}

function dayOfYear(now: number): number {
  return (now / DAY_MS) % YEAR_DAYS;
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
