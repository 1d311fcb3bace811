import { expect } from 'chai';
import { knownMetrics } from '../../dashboard-gateway/farms/known-metrics.ts';
import { CATALOGUE } from '../../telemetry/catalogue.ts';
import type { Metric } from '../../telemetry/registry/things.ts';

describe('the metrics that a page is told', () => {
  it('are all that Loam knows, with name and unit, when the registry describes none', () => {
    const known = knownMetrics(new Map());
    expect(known.map(({ id }) => id)).to.deep.equal([...CATALOGUE.keys()]);
    for (const { id, label, unit, decimals } of known) {
      expect({ id, label, unit, decimals }).to.deep.include({
        label: CATALOGUE.get(id)?.label,
        unit: CATALOGUE.get(id)?.unit,
        decimals: CATALOGUE.get(id)?.decimals,
      });
    }
  });

  it("are the registry's first, and one that it describes is as it says, once", () => {
    const tank = { id: 'tank', label: 'Tank', unit: 'l', decimals: 0, min: 200 };
    const ec = { id: 'ec', label: 'Leitfähigkeit', unit: '', decimals: 3 };
    const registered = new Map<string, Metric>([
      ['tank', { ...tank, texts: { empty: 0 } }],
      ['ec', ec],
    ]);
    const known = knownMetrics(registered);
    expect(known.slice(0, 2)).to.deep.equal([tank, ec]);
    expect(known.filter(({ id }) => id === 'ec')).to.have.length(1);
    expect(known).to.have.length(CATALOGUE.size + 1);
  });
});
