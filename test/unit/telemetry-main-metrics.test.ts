import { expect } from 'chai';
import { mainMetrics } from '../../telemetry/main-metrics.ts';
import { readThing } from '../../telemetry/registry/things.ts';

describe("a field's main metrics", () => {
  it('are those that its registry names, in its order, as far as they are measured', () => {
    const measured = ['soil_moisture', 'tank', 'soil_water_potential', 'battery'];
    expect(mainMetrics(['tank', 'ec', 'soil_moisture'], measured)).to.deep.equal(['tank', 'soil_moisture']);
  });

  it('are what growers look for first when it names none that is measured', () => {
    expect(mainMetrics([], ['battery', 'soil_water_potential', 'soil_moisture'])).to.deep.equal([
      'soil_moisture',
      'soil_water_potential',
    ]);
    expect(mainMetrics(['ec'], ['air_humidity', 'rssi', 'air_temperature'])).to.deep.equal([
      'air_temperature',
      'air_humidity',
    ]);
    expect(mainMetrics([], ['rssi', 'water_level', 'air_temperature'])).to.deep.equal(['water_level']);
  });

  it('are never how a device is', () => {
    expect(mainMetrics([], ['battery', 'sap_flow', 'tank'])).to.deep.equal(['sap_flow']);
    expect(mainMetrics([], ['battery', 'rssi'])).to.deep.equal([]);
    expect(mainMetrics(['battery'], ['battery'])).to.deep.equal(['battery']);
  });

  it('are in the registry at most six, each once, and named as metrics are', () => {
    const field = { id: 'f', farm: 'north', name: 'Hill' };
    const read = (main: unknown) => readThing('field', 'north/f', { ...field, main });
    expect(read(['tank', 'soil_moisture'])).to.deep.equal({ ...field, main: ['tank', 'soil_moisture'] });
    for (const wrong of [[], ['tank', 'tank'], ['Tank!'], ['a', 'b', 'c', 'd', 'e', 'f', 'g']]) {
      expect(() => read(wrong), JSON.stringify(wrong)).to.throw();
    }
  });
});
