import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { StoreUnavailable } from '../../core/errors.ts';
import { replaceFile } from '../../core/replace-file.ts';
import { hashSecret } from '../../core/secrets.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { sensorSchema } from '../../telemetry/registry/things.ts';
import { type Asked, call, overlay, Place, problemCode, reading } from './harness.ts';
import { openApi } from './openapi.ts';

describe('sensors administered over HTTP', () => {
  let place: Place;
  let gateway: Gateway;

  beforeEach(async () => {
    place = await Place.open();
    gateway = await place.gateway({ mqtt: () => ({ host: '0.0.0.0', port: 1884, tls: false }) });
  });

  afterEach(() => place.close());

  const cookies = new Map<string, string>();
  const as = async (user: string, method: string, path: string, body: object = {}, headers: Asked['headers'] = {}) => {
    const cookie = cookies.get(user) ?? (await place.signIn(gateway, user));
    cookies.set(user, cookie);
    return call(gateway.port, path, { method, body, headers: { cookie, ...headers } });
  };
  const registryFile = () => readFile(join(place.folder, 'registry.yaml'), 'utf8');

  it('are added with a secret that is shown once, and the line that connects them', async () => {
    const answer = await as('ada', 'POST', '/api/farms/north/sensors', {
      id: 'p-1',
      field: 'f1',
      name: 'Row 9',
      interval: 30,
    });
    expect(answer.status).to.equal(201);
    const { sensor, secret, connection } = JSON.parse(answer.text);
    expect(sensor).to.deep.equal({ id: 'p-1', field: 'f1', name: 'Row 9', interval: 30, role: 'sensor' });
    const topic = 'farms/north/sensors/p-1/telemetry';
    expect(connection).to.include({ host: '127.0.0.1', port: 1884, tls: false, username: 'p-1', topic });
    expect(connection.command).to.include('-h 127.0.0.1 -p 1884').and.include('-P SECRET');
    const text = await registryFile();
    expect(place.registry.current().sensor('north', 'p-1')?.secret).to.equal(hashSecret(secret));
    expect(text).to.include('# Ada runs the place').and.not.include(secret);
    const listed = JSON.parse((await as('vera', 'GET', '/api/farms/north/sensors')).text);
    expect(JSON.stringify(listed)).to.not.include(hashSecret(secret));
    expect(listed.sensors.map((s: { id: string }) => s.id)).to.include('p-1');
  });

  it('tell where the broker is by the name that the gateway was reached by, unless it has one of its own', async () => {
    const named = await as('ada', 'POST', '/api/farms/north/sensors', { id: 'p-1' }, { host: 'farm.example:8080' });
    expect(JSON.parse(named.text).connection.host).to.equal('farm.example');
    const other = await place.gateway({ mqtt: () => ({ host: 'mqtt.example', port: 8883, tls: true }) });
    const cookie = await place.signIn(other, 'ada');
    const own = await call(other.port, '/api/farms', { headers: { cookie, host: 'farm.example' } });
    expect(JSON.parse(own.text).mqtt).to.deep.equal({ host: 'mqtt.example', port: 8883, tls: true });
  });

  it('are described anew, whole, and keep their secret and comments', async () => {
    const before = place.registry.current().sensor('north', 's1');
    const answer = await as('ada', 'PUT', '/api/farms/north/sensors/s1', { field: 'f2', interval: 120 });
    expect(JSON.parse(answer.text).sensor).to.deep.equal({
      id: 's1',
      field: 'f2',
      name: 's1',
      interval: 120,
      role: 'sensor',
    });
    expect(place.registry.current().sensor('north', 's1')).to.deep.equal({
      id: 's1',
      farm: 'north',
      field: 'f2',
      interval: 120,
      role: 'sensor',
      secret: before?.secret,
    });
    expect(await registryFile()).to.include('# Ada runs the place');
  });

  it('are described in all that docs/openapi.yaml says; what a description leaves out of how they are read stays', async () => {
    const reading = {
      rate: { messages: 5, burst: 60 },
      clock: 'receipt',
      aliases: { vwc: 'soil_moisture' },
      units: { soil_moisture: '%' },
      codec: 'codecs/lse01.js',
    };
    const whole = { field: 'f2', name: 'Gate', position: [52, 13], interval: 120, role: 'bridge', ...reading };
    const { ajv } = await openApi();
    const given = ajv.getSchema(
      'openapi#/paths/~1api~1farms~1{farm}~1sensors~1{sensor}/put/requestBody/content/application~1json/schema',
    );
    expect(given?.(whole), ajv.errorsText(given?.errors)).to.equal(true);
    expect(given?.({ ...whole, secret: 'x' }), 'and the check can fail').to.equal(false);
    const put = await as('ada', 'PUT', '/api/farms/north/sensors/s1', whole);
    expect(JSON.parse(put.text).sensor).to.deep.equal({ id: 's1', ...whole });
    expect((await as('vera', 'GET', '/api/farms/north/sensors')).text).to.include('lse01.js');
    const less = JSON.parse((await as('ada', 'PUT', '/api/farms/north/sensors/s1', {})).text).sensor;
    expect(less).to.deep.equal({
      id: 's1',
      field: 'unassigned',
      name: 's1',
      interval: 600,
      role: 'sensor',
      ...reading,
    });
    const { secret: _, token: __, cn: ___, revoked: ____, farm: _____, id: ______, ...described } = sensorSchema.shape;
    expect(given?.schema).to.have.property('properties').with.all.keys(Object.keys(described));
  });

  it('are registered when a bridge brought them, without a secret of their own', async () => {
    const answer = await as('ada', 'PUT', '/api/farms/north/sensors/stray', { field: 'f1' });
    expect(answer.status).to.equal(201);
    expect(place.registry.current().sensor('north', 'stray'))
      .to.include({ farm: 'north', field: 'f1' })
      .and.not.have.property('secret');
    expect(problemCode(await as('ada', 'PUT', '/api/farms/north/sensors/-x', {}))).to.equal('not-found');
  });

  it('get a new secret, which ends the old one', async () => {
    const before = place.registry.current().sensor('north', 's1')?.secret;
    const { secret, sensor } = JSON.parse((await as('ada', 'POST', '/api/farms/north/sensors/s1/secret')).text);
    expect(sensor).to.include({ id: 's1', name: 'Row 3' });
    expect(place.registry.current().sensor('north', 's1')?.secret).to.equal(hashSecret(secret)).and.not.equal(before);
  });

  it('are removed', async () => {
    expect((await as('ada', 'DELETE', '/api/farms/north/sensors/s1')).status).to.equal(204);
    expect(place.registry.current().sensor('north', 's1')).to.equal(undefined);
    expect(problemCode(await as('ada', 'DELETE', '/api/farms/north/sensors/s1'))).to.equal('not-found');
  });

  it('are changed by admins of their own farm alone', async () => {
    await place.edit((text) => text.replace('farms: { north: viewer }', 'farms: { north: agronomist, south: admin }'));
    const tries: [string, string, object?][] = [
      ['POST', '/api/farms/north/sensors', { id: 'x' }],
      ['PUT', '/api/farms/north/sensors/s1', {}],
      ['POST', '/api/farms/north/sensors/s1/secret'],
      ['DELETE', '/api/farms/north/sensors/s1'],
    ];
    for (const [method, path, body] of tries) {
      for (const user of ['vera', 'sam']) {
        expect(problemCode(await as(user, method, path, body)), `${user} ${method}`).to.equal('forbidden');
      }
      expect(problemCode(await call(gateway.port, path, { method, body: body ?? {} }))).to.equal('not-signed-in');
      const from = await as('ada', method, path, body, { origin: 'http://evil.example' });
      expect(problemCode(from)).to.equal('cross-origin');
    }
    for (const [method, path] of [
      ['POST', '/api/farms/south/sensors/s1/secret'],
      ['DELETE', '/api/farms/south/sensors/s1'],
    ] as const) {
      expect(problemCode(await as('vera', method, path)), `${method} through another farm`).to.equal('not-found');
    }
    expect((await as('vera', 'PUT', '/api/farms/south/sensors/s1')).status, 'an s1 of its own').to.equal(201);
    expect(place.registry.current().sensor('north', 's1')).to.include({ farm: 'north', field: 'f1' });
  });

  it('are refused with what is wrong', async () => {
    const add = (body: object) => as('ada', 'POST', '/api/farms/north/sensors', body);
    expect(problemCode(await add({ id: 's1' }))).to.equal('conflict');
    const wrong = [
      {},
      { id: '-x' },
      { id: 'a'.repeat(65) },
      { id: 'x', field: 'nowhere' },
      { id: 'x', field: 'g1' },
      { id: 'x', interval: 0 },
      { id: 'x', position: [91, 0] },
      { id: 'x', role: 'boss' },
      { id: 'x', name: '' },
      { id: 'x', secret: 'ab'.repeat(32) },
      { id: 'x', farm: 'south' },
    ];
    for (const body of wrong) expect(problemCode(await add(body)), JSON.stringify(body)).to.equal('invalid-request');
    expect(place.registry.current().sensors.map(({ id }) => id)).to.deep.equal(['s1', 's2', 't1']);
  });

  it('are added as a list: all of them, or none', async () => {
    const add = (body: object) => as('ada', 'POST', '/api/farms/north/sensors', body);
    const answer = await add([
      { id: 'l-1', field: 'f1' },
      { id: 'l-2', name: 'Second' },
    ]);
    expect(answer.status).to.equal(201);
    const [first, second] = JSON.parse(answer.text);
    expect(first.sensor).to.include({ id: 'l-1', field: 'f1' });
    expect(second.sensor).to.include({ id: 'l-2', name: 'Second' });
    expect(place.registry.current().sensor('north', 'l-2')?.secret).to.equal(hashSecret(second.secret));
    const wrong: [object[], string][] = [
      [[], 'invalid-request'],
      [Array.from({ length: 101 }, (_, i) => ({ id: `x-${i}` })), 'invalid-request'],
      [[{ id: 'x-1' }, { id: 'x-1' }], 'invalid-request'],
      [[{ id: 'x-1' }, { id: 'x-2', field: 'nowhere' }], 'invalid-request'],
      [[{ id: 'x-1' }, { id: 's1' }], 'conflict'],
    ];
    for (const [list, code] of wrong) expect(problemCode(await add(list)), JSON.stringify(list)).to.equal(code);
    expect(place.registry.current().sensor('north', 'x-1')).to.equal(undefined);
  });

  describe('whose id another farm has or brings', () => {
    const id = '70b3d57ed0001234';

    beforeEach(async () => {
      const password = place.registry.current().users.get('vera')?.password ?? '';
      await place.edit((text) => text.replace('- name: newt', `- name: newt\n    password: ${password}`));
    });

    it('are registered with the answers that an id gets which nobody has', async () => {
      await place.store.write([reading({ farm: 'south', sensor: id })]);
      const topic = `application/1/device/${id}/event/up`;
      const publish = { farm: 'south', field: '', sensor: id, topic, payload: Buffer.from('{}'), received: Date.now() };
      await place.dead.append(encodeDead({ publish, reason: 'no_codec', explanation: '', at: Date.now() }));
      /** North's admin tries every way there is to have `wanted`. */
      const tryAll = async (wanted: string) => {
        const answers = [
          await as('newt', 'PUT', `/api/farms/north/sensors/${wanted}`, { field: 'nowhere' }),
          await as('newt', 'PUT', `/api/farms/north/sensors/${wanted}`, {}),
          await as('newt', 'DELETE', `/api/farms/north/sensors/${wanted}`),
          await as('newt', 'POST', '/api/farms/north/sensors', { id: wanted, role: 'bridge' }),
          await as('newt', 'POST', `/api/farms/north/sensors/${wanted}/secret`),
          await as('newt', 'DELETE', `/api/farms/north/sensors/${wanted}`),
          await as('newt', 'POST', '/api/farms/north/sensors', [{ id: `mine-${wanted}` }, { id: wanted }]),
          await as('newt', 'POST', '/api/farms/north/sensors', { id: wanted }),
        ];
        return answers.map(({ status, text }) => [
          status,
          text.replaceAll(wanted, 'ID').replaceAll(/"secret":"[^"]*"/g, '"secret"'),
        ]);
      };
      const ofNobodys = await tryAll('nobodys');
      expect(ofNobodys.map(([status]) => status)).to.deep.equal([400, 201, 204, 201, 200, 204, 201, 409]);
      expect(await tryAll(id), 'brought').to.deep.equal(ofNobodys);
      expect(await tryAll('t1'), 'registered').to.deep.equal(ofNobodys);
      expect(place.registry.current().sensor('south', 't1')).to.not.equal(undefined);
    });

    it('are registered while the store is away, for it is not asked', async () => {
      const away = () => Promise.reject(new StoreUnavailable('gone'));
      gateway = await place.gateway({ store: overlay(place.store, { latest: away }) });
      expect((await as('newt', 'PUT', `/api/farms/north/sensors/${id}`, {})).status).to.equal(201);
    });
  });

  it('keep names that look like YAML, formulas or markup as they are', async () => {
    for (const [i, name] of ['yes', '- a: b', '=1+1', '"quoted" # not a comment', '<b>', '\u2028'].entries()) {
      const answer = await as('ada', 'POST', '/api/farms/north/sensors', { id: `n${i}`, name });
      expect(JSON.parse(answer.text).sensor.name).to.equal(name);
    }
  });

  it('are refused while the file cannot be changed, with why', async () => {
    const text = await registryFile();
    const file = join(place.folder, 'registry.yaml');
    await replaceFile(file, text.replace('farm: north, name: Hill', 'farm: nowhere, name: Hill'));
    const answer = await as('ada', 'POST', '/api/farms/north/sensors', { id: 'x' });
    expect(problemCode(answer)).to.equal('registry-unavailable');
    expect(JSON.parse(answer.text).detail).to.include('nowhere');
    await replaceFile(file, text);
    expect((await as('ada', 'POST', '/api/farms/north/sensors', { id: 'x' })).status).to.equal(201);
  });

  it('added by many at once are all there', async () => {
    const ids = [...Array(5)].map((_, i) => `many-${i}`);
    await as('ada', 'GET', '/api/me');
    const answers = await Promise.all(ids.map((id) => as('ada', 'POST', '/api/farms/north/sensors', { id })));
    expect(answers.map((answer) => answer.status)).to.deep.equal(ids.map(() => 201));
    expect(place.registry.current().sensors.map(({ id }) => id)).to.include.members(ids);
  });
});
