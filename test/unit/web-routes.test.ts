import { expect } from 'chai';
import { addressOf, parseRoute } from '../../dashboard-gateway/web/state/routes.ts';

describe('web: addresses', () => {
  it('lead to the farm, and to a sensor with what its chart shows', () => {
    expect(parseRoute('/', '')).to.deep.equal({ page: 'home' });
    expect(parseRoute('/farms/demo', '')).to.deep.equal({ page: 'farm', farm: 'demo' });
    expect(parseRoute('/farms/demo/sensors/s1', '?metric=ec&range=7d')).to.deep.equal({
      ...{ page: 'sensor', farm: 'demo', sensor: 's1', metric: 'ec', range: '7d' },
    });
  });

  it('with an unknown range show the last hour', () => {
    expect(parseRoute('/farms/demo/sensors/s1', '?range=99y')).to.include({ range: '1h' });
  });

  for (const path of [
    '/x',
    '/farms',
    '/farms/',
    '/farms/a/b',
    '/farms/a/sensors',
    '/farms/a/sensors/b/c',
    '/farms/%E0',
  ]) {
    it(`that lead nowhere are said to: ${path}`, () => {
      expect(parseRoute(path, '').page).to.equal('unknown');
    });
  }

  it('read back as what they were made from, and have no dot in their path', () => {
    const route = { page: 'sensor', farm: 'a.b', sensor: 's:1.x', metric: 'ec', range: '24h' } as const;
    const address = new URL(addressOf(route), 'http://loam');
    expect(address.pathname).not.to.include('.');
    expect(parseRoute(address.pathname, address.search)).to.deep.equal(route);
  });
});
