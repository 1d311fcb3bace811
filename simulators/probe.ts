import { blockedMoistureAt, drippedMoistureAt, tunnelAirAt } from './polytunnel.ts';
import { noise, smoothNoise } from './random.ts';
import { Climate, type Soil, SoilWater, soilTemperatureAt } from './soil.ts';
import { clamp, type FarmPlace, HOUR_MS, rainAt, weatherAt } from './weather.ts';

/**
 * What a virtual sensor measures. `weather`: the air; `soil` and `irrigated`: the ground; `tunnel`: the air under
 * cover; `dripped` and `blocked`: the ground under cover; any other kind: air and ground.
 */
export type ProbeKind = 'weather' | 'soil' | 'irrigated' | 'dripped' | 'blocked' | 'tunnel';

export type ProbeValues = Readonly<Record<string, number>>;

/** All demo sensors are in one place, so that they measure the same weather. */
const PLACE: FarmPlace = { latitude: 52.4, longitude: 13, seed: 20 };
const CLIMATE = new Climate(PLACE);
const DAY_MS = 24 * HOUR_MS;

/**
 * One virtual sensor: what it would measure at any moment, the same at every run.
 * Sensors with different seeds have the same weather, but each has its own soil and its own errors.
 */
export class Probe {
  private readonly kind: string;
  private readonly seed: number;
  private readonly water: SoilWater;
  private readonly isFull: boolean;

  /** `full`: the probe also measures conductivity and, where it is irrigated, how much. */
  constructor(kind: string, seed: number, make: 'plain' | 'full' = 'plain') {
    this.isFull = make === 'full';
    this.kind = kind;
    this.seed = seed;
    this.water = new SoilWater(CLIMATE, soilOf(kind, seed));
  }

  /** What it measures at `now`, Unix ms: metric names to numbers, rounded as a device would. */
  valuesAt(now: number): ProbeValues {
    const health = { battery: round(this.batteryAt(now), 2), rssi: Math.round(this.rssiAt(now)) };
    if (this.kind === 'tunnel') return { ...this.tunnelAt(now), ...health };
    if (this.kind === 'dripped') return { ...this.bedAt(now, drippedMoistureAt(now)), ...health };
    if (this.kind === 'blocked') return { ...this.bedAt(now, blockedMoistureAt(now)), ...health };
    if (this.kind === 'weather') return { ...this.airAt(now), ...health };
    if (this.kind === 'soil' || this.kind === 'irrigated') return { ...this.groundAt(now), ...health };
    return { ...this.airAt(now), ...this.groundAt(now), ...health };
  }

  private airAt(now: number): ProbeValues {
    const { temperature, humidity } = weatherAt(PLACE, now);
    return {
      air_temperature: round(temperature + this.error(1, 0.6) + this.jitter(now, 2, 0.15), 1),
      air_humidity: round(clamp(humidity + this.error(3, 3) + this.jitter(now, 4, 1), 0, 100), 1),
      rain: round(rainInTheLastHour(now), 1),
    };
  }

  private groundAt(now: number): ProbeValues {
    const moisture = this.water.moistureAt(now);
    const ground = {
      soil_moisture: round(clamp(moisture + this.jitter(now, 5, 0.15), 0, 60), 1),
      soil_temperature: round(soilTemperatureAt(PLACE, now) + this.error(6, 0.8) + this.jitter(now, 7, 0.08), 1),
    };
    if (!this.isFull) return ground;
    const salts = { ec: round(this.ecAt(now, moisture), 2) };
    return this.kind === 'irrigated'
      ? { ...ground, ...salts, irrigation: this.water.irrigationAt(now) }
      : { ...ground, ...salts };
  }

  /** mS/cm of the bulk soil: its water conducts, so it follows moisture. Fertiliser comes with the season. */
  private ecAt(now: number, moisture: number): number {
    const salts = 0.6 + 0.9 * noise(this.seed, 12) + 0.3 * smoothNoise(this.seed + 13, now / (20 * DAY_MS));
    return clamp(salts * (moisture / 30) ** 1.6 + this.jitter(now, 14, 0.01), 0.05, 6);
  }

  private tunnelAt(now: number): ProbeValues {
    const { temperature, humidity } = tunnelAirAt(now);
    return {
      air_temperature: round(temperature + this.error(1, 0.6) + this.jitter(now, 2, 0.15), 1),
      air_humidity: round(clamp(humidity + this.error(3, 3) + this.jitter(now, 4, 1), 0, 100), 1),
    };
  }

  private bedAt(now: number, moisture: number): ProbeValues {
    const { temperature } = tunnelAirAt(now - 4 * HOUR_MS);
    return {
      soil_moisture: round(moisture + this.jitter(now, 5, 0.15), 1),
      soil_temperature: round(12 + temperature / 4 + this.error(6, 0.8) + this.jitter(now, 7, 0.08), 1),
    };
  }

  /** Volts of a lithium cell that is charged by a small panel in the day and drains over months. */
  private batteryAt(now: number): number {
    const sun = weatherAt(PLACE, now).sunshine / 1_000;
    const age = (now / DAY_MS / 120 + noise(this.seed, 8)) % 1;
    return clamp(3.95 - 0.35 * age + 0.12 * sun + this.jitter(now, 9, 0.01), 3.3, 4.2);
  }

  /** Signal strength, dBm: from the distance to the gateway, and fading. Rain damps it a little. */
  private rssiAt(now: number): number {
    return -70 - 30 * noise(this.seed, 10) - rainAt(PLACE, now) + this.jitter(now, 11, 3);
  }

  /** The constant error of this device, up to ± `most`. */
  private error(which: number, most: number): number {
    return (noise(this.seed, which) * 2 - 1) * most;
  }

  private jitter(now: number, which: number, most: number): number {
    return (smoothNoise(this.seed * 31 + which, now / 15_000) * 2 - 1) * most;
  }
}

function soilOf(kind: string, seed: number): Soil {
  const between = (which: number, least: number, most: number) => least + noise(seed, which) * (most - least);
  const capacity = between(21, 33, 38);
  const soil = { wilting: between(22, 10, 14), capacity, depth: between(23, 220, 320), seed };
  return kind === 'irrigated' ? { ...soil, irrigateBelow: capacity * 0.72 } : soil;
}

function rainInTheLastHour(now: number): number {
  let sum = 0;
  for (let minute = 0; minute < 60; minute += 10) sum += rainAt(PLACE, now - minute * 60_000) / 6;
  return sum;
}

function round(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}
