import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import type { Broker } from '../../broker/broker.ts';
import { Broker as MqttBroker } from '../../broker/broker.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { until } from '../services/wait.ts';
import { call, Place, problemCode, SECRET_KEYS } from './harness.ts';

const TOKEN = 'A1_TEST_TOKEN/9f3+c0';

describe('tokens that devices came with, over HTTP', () => {
  let place: Place;
  let gateway: Gateway;
  let broker: Broker;
  let keys: SecretKeys | undefined;
  let cookie: string;

  beforeEach(async () => {
    place = await Place.open();
    gateway = await place.gateway();
    cookie = await place.signIn(gateway, 'ada');
    keys = SECRET_KEYS;
    const { queue, registry } = place;
    broker = new MqttBroker({ host: '127.0.0.1', port: 0, queue, registry, log: silent, secretKeys: () => keys });
    await broker.start();
  });
  afterEach(async () => {
    await broker.stop(1_000);
    await place.close();
  });

  const post = (path: string, body: object | string) =>
    call(gateway.port, `/api/farms${path}`, { method: 'POST', body, headers: { cookie } });
  /** How the broker answers who signs in so: `farm/sensor`, or the code of its no. */
  const signIn = async (username: string, password?: string): Promise<unknown> => {
    const options = { username, ...(password === undefined ? {} : { password }), reconnectPeriod: 0 };
    try {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, options, false);
      await client.endAsync(true);
      return 'let in';
    } catch (error) {
      return error instanceof Error && 'code' in error ? error.code : error;
    }
  };

  it('let their sensor in, alone or beside its id, and the registry and the answers do not tell them', async () => {
    const answer = await post('/north/sensors', { id: 'p-1', field: 'f1', token: TOKEN });
    expect(answer.status).to.equal(201);
    expect(answer.text).not.to.include(TOKEN);
    expect(JSON.parse(answer.text)).to.not.have.property('secret');
    expect(JSON.parse(answer.text).connection).to.include({ username: 'p-1' });
    expect(place.registry.current().sensor('north', 'p-1')).to.deep.equal({
      id: 'p-1',
      farm: 'north',
      field: 'f1',
      interval: 600,
      role: 'sensor',
      token: SECRET_KEYS.keptToken(TOKEN),
    });
    expect(await readFile(join(place.folder, 'registry.yaml'), 'utf8')).not.to.include(TOKEN);
    const listed = await call(gateway.port, '/api/farms/north/sensors', { headers: { cookie } });
    expect(listed.text).not.to.include(SECRET_KEYS.keptToken(TOKEN));
    expect(await signIn(TOKEN)).to.equal('let in');
    expect(await signIn('p-1', TOKEN)).to.equal('let in');
    expect(await signIn('north/p-1', TOKEN)).to.equal('let in');
    expect(await signIn('s1', TOKEN)).to.equal(4);
    expect(await signIn('p-1', SECRET_KEYS.keptToken(TOKEN))).to.equal(4);
    keys = undefined;
    expect(await signIn('p-1', TOKEN), 'without the key').to.equal(4);
    expect(await signIn(TOKEN), 'without the key').to.equal(4);
    keys = new SecretKeys('x'.repeat(40));
    expect(await signIn('p-1', TOKEN), 'with another key').to.equal(4);
    keys = new SecretKeys(`${'x'.repeat(40)},${'s'.repeat(43)}`);
    for (const kept of SECRET_KEYS.everyKeptToken(TOKEN)) {
      const sensor = { ...place.registry.current().sensor('north', 'p-1'), token: kept };
      await place.registry.apply([{ kind: 'sensor', id: 'north/p-1', value: sensor }], 'test');
      expect(await signIn('p-1', TOKEN), 'with the old key behind a new one').to.equal('let in');
      expect(await signIn(TOKEN), 'alone').to.equal('let in');
    }
  });

  it('take the place of a secret, and a secret theirs; who signed in with what was before is disconnected', async () => {
    const { secret } = JSON.parse((await post('/north/sensors/s1/secret', {})).text);
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
      username: 's1',
      password: secret,
      reconnectPeriod: 0,
    });
    const answer = await post('/north/sensors/s1/secret', { token: TOKEN });
    expect([answer.status, JSON.parse(answer.text).secret]).to.deep.equal([200, undefined]);
    await until('it is disconnected', () => !client.connected);
    expect(await signIn('s1', secret)).to.equal(4);
    expect(await signIn('s1', TOKEN)).to.equal('let in');
    expect((await post('/north/sensors/s1/secret', { token: TOKEN })).status, 'its own again').to.equal(200);
    const again = await post('/north/sensors/s1/secret', '');
    expect(await signIn('s1', JSON.parse(again.text).secret)).to.equal('let in');
    expect(await signIn('s1', TOKEN)).to.equal(4);
    expect(place.registry.current().sensor('north', 's1')).to.not.have.property('token');
  });

  it('that are weak, and those that any sensor has, are refused in the same words', async () => {
    await post('/south/sensors', { id: 'far', token: TOKEN });
    const before = await readFile(join(place.folder, 'registry.yaml'), 'utf8');
    const answers = [];
    for (const token of ['short', 'a'.repeat(32), 'x'.repeat(129), `${TOKEN} `, TOKEN]) {
      answers.push(await post('/north/sensors', { id: 'p-1', token }));
      answers.push(await post('/north/sensors', [{ id: 'p-2' }, { id: 'p-3', token }]));
      answers.push(await post('/north/sensors/s1/secret', { token }));
    }
    answers.push(
      await post('/north/sensors', [
        { id: 'p-2', token: `${TOKEN}x` },
        { id: 'p-3', token: `${TOKEN}x` },
      ]),
    );
    for (const answer of answers) expect(problemCode(answer)).to.equal('invalid-request');
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).to.equal(1);
    expect(await readFile(join(place.folder, 'registry.yaml'), 'utf8')).to.equal(before);
    for (const body of [{ token: 7 }, { token: null }, { secret: TOKEN }]) {
      expect(problemCode(await post('/north/sensors/s1/secret', body))).to.equal('invalid-request');
    }
    const put = await call(gateway.port, '/api/farms/north/sensors/s1', {
      method: 'PUT',
      body: { token: TOKEN },
      headers: { cookie },
    });
    expect(problemCode(put)).to.equal('invalid-request');
  });

  it('cannot be brought while there is no key, which is said without a word of other farms', async () => {
    const required = () =>
      Promise.reject(new ConfigInvalid('LOAM_SECRET_KEY', 'but the registry has the token of south/far'));
    const keyless = await place.gateway({ secretKey: { current: () => undefined, required } });
    const asked = { method: 'POST', body: { id: 'p-1', token: TOKEN }, headers: { cookie } };
    const answer = await call(keyless.port, '/api/farms/north/sensors', asked);
    expect(problemCode(answer)).to.equal('registry-unavailable');
    expect(answer.text).to.include('LOAM_SECRET_KEY').and.not.include('south');
    expect((await call(keyless.port, '/api/farms/north/sensors', { ...asked, body: { id: 'p-2' } })).status).to.equal(
      201,
    );
  });
});
