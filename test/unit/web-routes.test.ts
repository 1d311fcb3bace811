import { expect } from 'chai';
import { addressOf, type KnownRoute, parseRoute } from '../../dashboard/state/routes.ts';

const from = Date.UTC(2026, 2, 1, 8);
const to = Date.UTC(2026, 2, 1, 14, 30);

const routes: readonly KnownRoute[] = [
  { page: 'home' },
  { page: 'system' },
  { page: 'account' },
  { page: 'farm', farm: 'demo' },
  { page: 'sensors', farm: 'demo' },
  { page: 'dead-letters', farm: 'demo' },
  { page: 'events', farm: 'demo' },
  { page: 'sensor', farm: 'a.b', sensor: 's:1.x', range: { last: '7d' } },
  { page: 'sensor', farm: 'demo', sensor: 's1', range: { from, to } },
  { page: 'field', farm: 'demo', field: 'f.1', metric: 'ec', range: { last: '24h' } },
  { page: 'field', farm: 'demo', field: 'f1', metric: undefined, range: { from, to } },
  { page: 'playback', farm: 'demo', day: '2026-03-01', metric: 'soil_moisture' },
  { page: 'playback', farm: 'demo', day: undefined, metric: undefined },
];

describe('web: addresses', () => {
  for (const route of routes) {
    it(`read back as what they were made from, and have no dot in their path: ${addressOf(route)}`, () => {
      const address = new URL(addressOf(route), 'http://loam');
      expect(address.pathname).not.to.include('.');
      expect(parseRoute(address.pathname, address.search)).to.deep.equal(route);
    });
  }

  it('with an unknown or impossible range show the last day', () => {
    for (const search of ['', '?range=99y', '?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z', '?from=x&to=y']) {
      expect(parseRoute('/farms/demo/sensors/s1', search)).to.deep.include({ range: { last: '24h' } });
    }
  });

  it('with an impossible day play back today', () => {
    expect(parseRoute('/farms/demo/playback', '?day=1.3.2026')).to.include({ page: 'playback', day: undefined });
  });

  for (const path of [
    '/x',
    '/farms',
    '/farms/',
    '/farms/a/b',
    '/farms/a/fields',
    '/farms/a/sensors/b/c',
    '/farms/a/b/c',
    '/system/x',
    '/farms/%E0',
  ]) {
    it(`that lead nowhere are said to: ${path}`, () => {
      expect(parseRoute(path, '').page).to.equal('unknown');
    });
  }
});
