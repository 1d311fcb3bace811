import { expect } from 'chai';
import { RegistryInvalid } from '../../core/errors.ts';
import { CATALOGUE } from '../../telemetry/catalogue.ts';
import { meaningBy, PROFILE_NAMES } from '../../telemetry/profiles.ts';
import { isUnit } from '../../telemetry/units.ts';
import { projectFile } from './house-table.ts';
import { chirpstackUplink, decode, rules } from './telemetry-payloads.ts';

/** What makers' decoders send, by their documents, and what it means. */
const SENT: Readonly<Record<string, readonly [object: object, values: Record<string, number>]>> = {
  dragino: [
    { bat: 3.3, TEM: 18.4, HUM: 61, pressure: 1013.2, wind_direction_angle: 225, illumination: 1200, TSR: 410 },
    {
      battery: 3.3,
      air_temperature: 18.4,
      air_humidity: 61,
      air_pressure: 1013.2,
      wind_direction: 225,
      illuminance: 1200,
      solar_radiation: 410,
    },
  ],
  milesight: [
    { battery: 100, pressure: 1008.4, ec: 240, moisture: 57.5 },
    { battery_level: 100, air_pressure: 1008.4, ec: 0.24, soil_moisture: 57.5 },
  ],
  '[milesight-soil]': [
    { battery: 92, temperature: 24.5, humidity: 34.5, ec: 240 },
    { battery_level: 92, soil_temperature: 24.5, soil_moisture: 34.5, ec: 0.24 },
  ],
  sensecap: [
    {
      battery: 80,
      messages: [
        { measurementId: '4101', measurementValue: 101_325 },
        { measurementId: 4110, measurementValue: 31 },
      ],
    },
    { battery_level: 80, air_pressure: 1013.25, soil_moisture: 31 },
  ],
  decentlab: [
    { electrical_conductivity: 84, atmospheric_pressure: 95.2, battery_voltage: 3.03 },
    { ec: 0.084, air_pressure: 952, battery: 3.03 },
  ],
  meter: [
    { 'Water Content': 0.31, 'Saturation Extract EC': 1.2, 'Reference Pressure': 98.7, 'Battery Voltage': 7824 },
    { soil_moisture: 31, pore_ec: 1.2, air_pressure: 987, battery: 7.824 },
  ],
  elsys: [
    { vdd: 3580, pressure: 1001.5, light: 240 },
    { battery: 3.58, air_pressure: 1001.5, illuminance: 240 },
  ],
  pessl: [
    { battery: 6800, avg_temp: 12.5 },
    { battery: 6.8, air_temperature: 12.5 },
  ],
  '[pressure-pascals, battery-millivolts, ec-microsiemens]': [
    { pressure: 101_325, battery: 3600, ec: 850 },
    { air_pressure: 1013.25, battery: 3.6, ec: 0.85 },
  ],
};

describe('a profile of a sensor', () => {
  for (const [profile, [object, values]] of Object.entries(SENT)) {
    it(`${profile} reads what its maker means`, () => {
      const { readings, refused } = decode(
        'chirpstack',
        chirpstackUplink({ object, rxInfo: [] }),
        rules(`profile: ${profile}`),
      );
      expect(refused).to.deep.equal([]);
      expect(readings.map((one) => one.values)).to.deep.equal([values]);
    });
  }

  it('gives way to the sensor’s own aliases and units, and to a unit that a value brings', () => {
    const by = rules('profile: milesight, aliases: { battery: cell }, units: { ec: mS/cm }');
    const { readings } = decode('thingsboard', { battery: 92, ec: 2, pressure: '101325 Pa' }, by);
    expect(readings[0]?.values).to.deep.equal({ cell: 92, ec: 2, air_pressure: 1013.25 });
    const first = rules('profile: [battery-millivolts, milesight]');
    expect(decode('thingsboard', { battery: 3600, ec: 240 }, first).readings[0]?.values).to.deep.equal({
      battery: 3.6,
      ec: 0.24,
    });
  });

  it('that nobody knows is refused with all that there are', () => {
    for (const wrong of ['dragoni', '[milesight, dragoni]', 'constructor']) {
      expect(() => rules(`profile: ${wrong}`), wrong)
        .to.throw(RegistryInvalid)
        .with.property('message')
        .that.includes(PROFILE_NAMES.join(', '));
    }
  });

  it('has units that Loam knows, and metrics of its catalogue where it converts', () => {
    for (const name of PROFILE_NAMES) {
      for (const given of ['battery', 'pressure', 'ec', 'light', 'distance', 'measurement_4101']) {
        const meaning = meaningBy(name, given);
        if (meaning?.unit === undefined) continue;
        expect(isUnit(meaning.unit), `${name} ${given}`).to.equal(true);
        expect(CATALOGUE.has(meaning.metric) || given === 'distance', `${name} ${given}`).to.equal(true);
      }
    }
  });

  it('is in the docs and in the description of the API by its name', async () => {
    const page = await projectFile('docs/protocol-mqtt.md');
    const api = await projectFile('docs/openapi.yaml');
    for (const name of PROFILE_NAMES) {
      expect(page, name).to.include(`\`${name}\``);
      expect(api, name).to.include(`          ${name},\n`);
    }
  });
});
