import { expect } from 'chai';
import { hashSecret } from '../../core/secrets.ts';
import { demoFarm } from '../../simulators/demo-farm.ts';
import { Probe } from '../../simulators/probe.ts';
import { Climate, SoilWater } from '../../simulators/soil.ts';
import { type FarmPlace, HOUR_MS, rainAt, sunHeight, weatherAt } from '../../simulators/weather.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';

const DAY_MS = 24 * HOUR_MS;
const BERLIN: FarmPlace = { latitude: 52.4, longitude: 13, seed: 20 };
const YEAR = Date.UTC(2025, 0, 1);
const days = (count: number, from = YEAR) => Array.from({ length: count }, (_, i) => from + i * DAY_MS);
const meanOf = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;
/** Rain turns a day round: rules about the sun are asked of dry days. */
const isDry = (day: number) =>
  Array.from({ length: 48 }, (_, i) => rainAt(BERLIN, day + i * HOUR_MS)).every((mm) => mm === 0);

describe('the simulated weather', () => {
  it('has the sun up at noon and down at midnight, and higher in June than in December', () => {
    for (const day of days(365)) {
      expect(sunHeight(BERLIN, day + 11 * HOUR_MS)).to.be.above(0.15);
      expect(sunHeight(BERLIN, day + 23 * HOUR_MS)).to.equal(0);
    }
    const noon = (month: number) => sunHeight(BERLIN, Date.UTC(2025, month, 21, 11));
    expect(noon(5)).to.be.within(0.85, 0.9);
    expect(noon(11)).to.be.within(0.2, 0.3);
  });

  it('is warmer and drier in the afternoon than before dawn on every dry day', () => {
    const dry = days(365).filter(isDry);
    expect(dry.length).to.be.above(60);
    for (const day of dry) {
      const [dawn, afternoon] = [weatherAt(BERLIN, day + 3 * HOUR_MS), weatherAt(BERLIN, day + 13.5 * HOUR_MS)];
      expect(afternoon.temperature, new Date(day).toISOString()).to.be.above(dawn.temperature);
      expect(afternoon.humidity, new Date(day).toISOString()).to.be.below(dawn.humidity + 1);
    }
  });

  it('is warmer in July than in January, and the other way round south of the equator', () => {
    const month = (place: FarmPlace, first: number) =>
      meanOf(days(28, first).map((day) => weatherAt(place, day + 12 * HOUR_MS).temperature));
    const south = { ...BERLIN, latitude: -35 };
    expect(month(BERLIN, Date.UTC(2025, 6, 1))).to.be.above(month(BERLIN, YEAR) + 10);
    expect(month(south, YEAR)).to.be.above(month(south, Date.UTC(2025, 6, 1)) + 5);
  });

  it('rains on some days and not on most hours, and stays within what a year brings', () => {
    let rainyHours = 0;
    let sum = 0;
    for (let hour = 0; hour < 365 * 24; hour++) {
      const { rain, temperature, humidity, clouds, sunshine } = weatherAt(BERLIN, YEAR + hour * HOUR_MS);
      rainyHours += rain > 0 ? 1 : 0;
      sum += rain;
      expect(temperature).to.be.within(-25, 42);
      expect(humidity).to.be.within(0, 100);
      expect(clouds).to.be.within(0, 1);
      expect(sunshine).to.be.within(0, 1_000);
    }
    expect(rainyHours / (365 * 24)).to.be.within(0.05, 0.3);
    expect(sum).to.be.within(300, 3_000);
  });

  it('goes on without jumps: a minute changes little', () => {
    for (let minute = 0; minute < 3 * 24 * 60; minute++) {
      const [now, next] = [weatherAt(BERLIN, YEAR + minute * 60_000), weatherAt(BERLIN, YEAR + (minute + 1) * 60_000)];
      expect(Math.abs(next.temperature - now.temperature)).to.be.below(0.8);
    }
  });
});

describe('the simulated soil', () => {
  const soil = { wilting: 12, capacity: 36, depth: 250, seed: 3 };

  it('gets wetter by rain and dries in the days without', () => {
    const water = new SoilWater(new Climate(BERLIN), soil);
    const change = (day: number) => water.moistureAt(day + DAY_MS) - water.moistureAt(day);
    const rainOf = (day: number) =>
      meanOf(Array.from({ length: 48 }, (_, i) => rainAt(BERLIN, day + (i * HOUR_MS) / 2))) * 24;
    const summer = days(92, Date.UTC(2025, 5, 1));
    // A soil that is full already only drains.
    const wet = summer.filter((day) => rainOf(day) > 8 && water.moistureAt(day) < soil.capacity - 2);
    const dry = summer.filter((day) => rainOf(day) === 0);
    expect(wet.length).to.be.above(3);
    expect(dry.length).to.be.above(20);
    for (const day of wet) expect(change(day), new Date(day).toISOString()).to.be.above(0.5);
    for (const day of dry) expect(change(day), new Date(day).toISOString()).to.be.below(0);
  });

  it('is irrigated when it is dry, where it is irrigated', () => {
    const plain = new SoilWater(new Climate({ ...BERLIN, seed: 5 }), soil);
    const irrigated = new SoilWater(new Climate({ ...BERLIN, seed: 5 }), { ...soil, irrigateBelow: 26 });
    const august = days(31, Date.UTC(2025, 7, 1));
    expect(Math.min(...august.map((day) => irrigated.moistureAt(day)))).to.be.above(
      Math.min(...august.map((day) => plain.moistureAt(day))),
    );
  });

  it('gives the same moisture in whatever order it is asked', () => {
    const moments = days(60).map((day) => day + 5 * HOUR_MS);
    const forward = new SoilWater(new Climate(BERLIN), soil);
    const backward = new SoilWater(new Climate(BERLIN), soil);
    const forwards = moments.map((at) => forward.moistureAt(at));
    const backwards = [...moments].reverse().map((at) => backward.moistureAt(at));
    expect(forwards).to.deep.equal(backwards.reverse());
  });
});

describe('a simulated probe', () => {
  const RANGES: Record<string, [number, number]> = {
    air_temperature: [-25, 42],
    air_humidity: [0, 100],
    rain: [0, 30],
    soil_moisture: [5, 55],
    soil_temperature: [-5, 35],
    ec: [0.05, 6],
    irrigation: [0, 4],
    battery: [3.3, 4.2],
    rssi: [-120, -60],
  };
  const moments = Array.from({ length: 24 * 60 }, (_, i) => YEAR + i * 6 * HOUR_MS);

  it('measures the same at every run', () => {
    const [one, again] = [new Probe('all', 9), new Probe('all', 9)];
    for (const now of moments) expect(one.valuesAt(now)).to.deep.equal(again.valuesAt(now));
  });

  it('measures every metric of its kind, within plausible ranges, and nothing else', () => {
    const kinds = {
      all: Object.keys(RANGES).filter((metric) => metric !== 'irrigation'),
      weather: ['air_temperature', 'air_humidity', 'rain', 'battery', 'rssi'],
      soil: ['soil_moisture', 'soil_temperature', 'ec', 'battery', 'rssi'],
      irrigated: ['soil_moisture', 'soil_temperature', 'ec', 'irrigation', 'battery', 'rssi'],
      dripped: ['soil_moisture', 'soil_temperature', 'battery', 'rssi'],
      blocked: ['soil_moisture', 'soil_temperature', 'battery', 'rssi'],
      tunnel: ['air_temperature', 'air_humidity', 'battery', 'rssi'],
    };
    for (const [kind, metrics] of Object.entries(kinds)) {
      const probe = new Probe(kind, 4, 'full');
      for (const now of moments) {
        const values = probe.valuesAt(now);
        expect(Object.keys(values)).to.have.members(metrics);
        for (const [metric, value] of Object.entries(values)) {
          const [least, most] = RANGES[metric] ?? [Number.NaN, Number.NaN];
          expect(value, metric).to.be.within(least, most);
        }
      }
    }
  });

  it('differs from its neighbour, but not by much', () => {
    const [one, other] = [new Probe('all', 1), new Probe('all', 2)];
    const gaps = moments.map((now) => {
      const [a, b] = [one.valuesAt(now), other.valuesAt(now)];
      return Math.abs((a.air_temperature ?? 0) - (b.air_temperature ?? 0));
    });
    expect(meanOf(gaps)).to.be.within(0.01, 1.5);
    expect(moments.some((now) => one.valuesAt(now).soil_moisture !== other.valuesAt(now).soil_moisture)).to.equal(true);
  });

  it('feels the ground warm up after the air', () => {
    const probe = new Probe('all', 1);
    const dry = days(90, Date.UTC(2025, 5, 1)).filter(isDry);
    const warmest = (day: number, metric: string) => {
      const hours = Array.from({ length: 24 }, (_, hour) => hour);
      const value = (hour: number) => probe.valuesAt(day + hour * HOUR_MS)[metric] ?? 0;
      return hours.reduce((best, hour) => (value(hour) > value(best) ? hour : best), 0);
    };
    const lags = dry.map((day) => warmest(day, 'soil_temperature') - warmest(day, 'air_temperature'));
    expect(meanOf(lags)).to.be.above(1);
  });
});

describe('the demo farm', () => {
  const { registryYaml, credentials } = demoFarm(Date.UTC(2026, 10, 24));
  const registry = parseRegistry(registryYaml);

  it('is a registry with one farm of four fields and twelve sensors, and no users', () => {
    expect([...registry.farms.keys()]).to.deep.equal(['demo']);
    expect(registry.fields.get('demo')?.size).to.equal(4);
    expect(registry.sensors.length).to.equal(12);
    expect(registry.users.size).to.equal(0);
  });

  it('knows the secret of every sensor', () => {
    for (const { id, secret } of credentials) expect(registry.sensor('demo', id)?.secret).to.equal(hashSecret(secret));
    expect(credentials.map(({ id }) => id)).to.have.members(registry.sensors.map(({ id }) => id));
  });

  it('has every sensor inside its field', () => {
    for (const sensor of registry.sensors) {
      const polygon = registry.fields.get('demo')?.get(sensor.field)?.polygon ?? [];
      expect(isInside(sensor.position ?? [0, 0], polygon), sensor.id).to.equal(true);
    }
  });

  it('describes every metric that its sensors send', () => {
    for (const { kind, seed } of credentials) {
      expect([...registry.metrics.keys()]).to.include.members(Object.keys(new Probe(kind, seed).valuesAt(YEAR)));
    }
  });

  it('has other secrets at every call', () => {
    const secrets = [...credentials, ...demoFarm(YEAR).credentials].map(({ secret }) => secret);
    expect(new Set(secrets).size).to.equal(24);
  });
});

/** Whether a ray from the point crosses the polygon's edge an odd number of times. */
function isInside([lat, lon]: readonly [number, number], polygon: readonly (readonly [number, number])[]): boolean {
  let inside = false;
  polygon.forEach(([lat1, lon1], i) => {
    const [lat2, lon2] = polygon[(i + 1) % polygon.length] ?? [0, 0];
    if (lon1 > lon !== lon2 > lon && lat < ((lat2 - lat1) * (lon - lon1)) / (lon2 - lon1) + lat1) inside = !inside;
  });
  return inside;
}
