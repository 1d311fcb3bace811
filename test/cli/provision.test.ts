import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { Api } from '../../cli/api.ts';
import { knownSecrets, provision } from '../../cli/simulate/sign-ins.ts';
import { type Config, loadConfig } from '../../core/config.ts';
import { ApiRefused, ConfigInvalid } from '../../core/errors.ts';
import { hashSecret } from '../../core/secrets.ts';
import { adminToken } from '../../roles/data-folder.ts';
import type { DemoCredential } from '../../simulators/demo.ts';
import { linesOf } from '../../simulators/profile/devices.ts';
import { parseProfile } from '../../simulators/profile/schema.ts';
import { Place } from '../gateway/harness.ts';

describe('loam simulate --provision', () => {
  const linesIn = (farm: string, count: number) =>
    linesOf(parseProfile(`groups: [{ name: probe, count: ${count}, interval: 1s, farm: ${farm} }]`, 'test'));
  let place: Place;
  let config: Config;
  let api: Api;

  beforeEach(async () => {
    place = await Place.open();
    config = loadConfig({ data: place.folder }, {});
    const gateway = await place.gateway({ adminToken: await adminToken(config) });
    config = { ...config, url: gateway.url };
    api = await Api.open(config);
  });
  afterEach(() => place.close());

  const never = new AbortController().signal;
  const told: [number, number][] = [];
  const provisioned = async (count: number, known: Map<string, DemoCredential>, farm = 'north', by = api) => {
    told.length = 0;
    return provision(by, config, linesIn(farm, count), known, (done, of) => told.push([done, of]), never);
  };
  const sensor = (id: string) => place.registry.current().sensor('north', id);

  it('registers, a hundred at a time, those whose secret is not known, and keeps their secrets', async () => {
    const known = new Map<string, DemoCredential>();
    expect(await provisioned(120, known)).to.include({ id: 'probe-120', farm: 'north' });
    expect(told).to.deep.equal([
      [100, 120],
      [120, 120],
    ]);
    expect(await knownSecrets(config, undefined)).to.deep.equal(known);
    for (const { id, secret } of known.values()) expect(sensor(id)?.secret, id).to.equal(hashSecret(secret));

    expect(await provisioned(120, known), 'nothing to do').to.equal(undefined);
    expect(told).to.deep.equal([]);
  });

  it('gives a sensor that is registered already a new secret', async () => {
    await provisioned(1, new Map());
    const before = sensor('probe-1')?.secret;
    const known = new Map<string, DemoCredential>();
    await provisioned(2, known);
    expect([...known.keys()]).to.deep.equal(['north/probe-1', 'north/probe-2']);
    expect(sensor('probe-1')?.secret).to.not.equal(before);
    expect(sensor('probe-1')?.secret).to.equal(hashSecret(known.get('north/probe-1')?.secret ?? ''));
  });

  it('says which farms there are when the profile’s is none', async () => {
    const error = await provisioned(1, new Map(), 'nowhere').catch((e: unknown) => e);
    expect(error).to.be.instanceOf(ConfigInvalid);
    expect(String(error)).to.include('north, south');
  });

  it('keeps no empty secret when the answer leaves a sensor out', async () => {
    const answers = {
      '/api/farms': { farms: [{ id: 'north', fields: [] }] },
      '/api/farms/north/sensors': [{ sensor: { id: 'another' }, secret: 'its own' }],
    };
    const other = createServer(({ url }, response) => {
      response.end(JSON.stringify(Object.entries(answers).find(([path]) => path === url)?.[1]));
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    try {
      const known = new Map<string, DemoCredential>();
      const strange = await Api.open({ ...config, url: `http://127.0.0.1:${port}` });
      const error = await provisioned(1, known, 'north', strange).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(ApiRefused).and.include({ problem: 'unexpected-answer' });
      expect(String(error)).to.include('probe-1');
      expect([...known]).to.deep.equal([]);
    } finally {
      other.close();
      other.closeAllConnections();
    }
  });
});
