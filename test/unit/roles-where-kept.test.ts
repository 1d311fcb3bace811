import { expect } from 'chai';
import { loadConfig } from '../../core/config.ts';
import { whereKept } from '../../roles/where-kept.ts';

describe('where Loam says that everything is kept', () => {
  const said = (given: Record<string, string>) => whereKept(loadConfig({ data: '/srv/loam', ...given }, {}));

  it('is the data folder, when it is', () => {
    expect(said({})).to.equal('Everything is kept in /srv/loam.');
    expect(said({ registry: 'yaml:/srv/loam/farms/all.yaml' })).to.equal('Everything is kept in /srv/loam.');
  });

  it('names what is on a server or in another folder, and no password', () => {
    const registry = 'postgres://loam:secret@db.example/loam';
    expect(said({ registry })).to.equal(
      'Everything is kept in /srv/loam, but for the registry in postgres://***@db.example/loam.',
    );
    const text = said({
      registry: '/etc/loam/farms.yaml',
      queue: 'file:/srv/loam-2/queue',
      log: 'amqp://u:secret@mq.example',
      store: 'influx://h:8086/loam?token=secret',
    });
    for (const named of ['registry in /etc/loam/farms.yaml', 'queue in /srv/loam-2/queue', 'logs in', 'store in']) {
      expect(text).to.include(named);
    }
    expect(text).to.not.include('secret');
  });
});
