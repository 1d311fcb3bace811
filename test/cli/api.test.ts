import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { Api } from '../../cli/api.ts';
import { type Config, loadConfig } from '../../core/config.ts';
import { ApiRefused, ConfigInvalid } from '../../core/errors.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { adminToken } from '../../roles/data-folder.ts';
import { call, Place, problemCode } from '../gateway/harness.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';

const me = z.object({ user: z.string(), farms: z.array(z.object({ id: z.string(), role: z.string() })) });
const anything = z.unknown();

describe('commands that talk to a running Loam', () => {
  let place: Place;
  let gateway: Gateway;
  let config: Config;

  before(async () => {
    place = await Place.open();
    config = loadConfig({ data: place.folder }, {});
    gateway = await place.gateway({ adminToken: await adminToken(config) });
    config = { ...config, url: `${gateway.url}/` };
  });

  after(() => place.close());

  const refusal = (work: Promise<unknown>) =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('are admin of every farm by the token of the data folder, which only its owner can read', async () => {
    expect((await stat(join(config.data, 'admin-token'))).mode & 0o777).to.equal(0o600);
    expect(await adminToken(config), 'the same at the next start').to.equal(await adminToken(config));
    const api = await Api.open(config);
    expect(await api.call('/api/me', me)).to.deep.equal({
      user: '(admin token)',
      farms: [
        { id: 'north', role: 'admin' },
        { id: 'south', role: 'admin' },
      ],
    });
  });

  it('may show another token, and a person’s own is one', async () => {
    const token = (await place.signIn(gateway, 'vera')).slice('loam='.length);
    const api = await Api.open({ ...config, token });
    expect((await api.call('/api/me', me)).user).to.equal('vera');
  });

  it('get an answer as it comes', async () => {
    const api = await Api.open(config);
    const text = await new Response(await api.stream('/api/farms')).text();
    expect(JSON.parse(text).farms).to.have.length(2);
  });

  it('name the setting when nobody answers, or the token is not taken or is missing', async () => {
    const away = await Api.open({ ...config, url: `http://127.0.0.1:${await freePort()}` });
    expect(await refusal(away.call('/api/me', me)))
      .to.be.instanceOf(ConfigInvalid)
      .and.include({ setting: 'LOAM_URL' });
    const wrong = await Api.open({ ...config, token: 'x'.repeat(32) });
    expect(await refusal(wrong.call('/api/me', me)))
      .to.be.instanceOf(ConfigInvalid)
      .and.include({ setting: 'LOAM_TOKEN' });
    const nowhere = refusal(Api.open({ ...config, data: await temporaryFolder() }));
    expect(await nowhere)
      .to.be.instanceOf(ConfigInvalid)
      .and.include({ setting: 'LOAM_TOKEN' });
  });

  it('are told what the gateway refuses', async () => {
    const api = await Api.open(config);
    const error = await refusal(api.call('/api/farms/nowhere/sensors', anything));
    expect(error).to.be.instanceOf(ApiRefused).and.include({ status: 403, problem: 'forbidden' });
    const password = { method: 'PUT', body: { password: 'a long enough one' } } as const;
    expect(await refusal(api.call('/api/me/password', anything, password))).to.include({ problem: 'forbidden' });
  });

  it('do not take for an answer what some other program says', async () => {
    const other = createServer((request, response) => {
      response.statusCode = request.url === '/api/gone' ? 410 : 200;
      response.end('<h1>Hello</h1>');
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    try {
      const api = await Api.open({ ...config, url: `http://127.0.0.1:${port}` });
      expect(await refusal(api.call('/api/me', me))).to.include({ problem: 'unexpected-answer' });
      expect(await refusal(api.call('/api/gone', me))).to.include({ problem: 'http-410' });
    } finally {
      other.close();
      other.closeAllConnections();
    }
  });

  it('need the token as a bearer token, whole', async () => {
    const token = await adminToken(config);
    const tries = [
      { cookie: `loam=${token}` },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token.slice(1)}` },
      { authorization: `Bearer ${token}x` },
    ];
    for (const headers of tries) {
      const answer = await call(gateway.port, '/api/me', { headers });
      expect(problemCode(answer), JSON.stringify(headers)).to.equal('not-signed-in');
    }
    const none = await place.gateway();
    const answer = await call(none.port, '/api/me', { headers: { authorization: `Bearer ${token}` } });
    expect(problemCode(answer)).to.equal('not-signed-in');
  });

  it('keep a token that somebody wrote, unless it is too short to be one', async () => {
    const data = await temporaryFolder();
    const own = { ...config, data };
    await writeFile(join(data, 'admin-token'), 'short');
    expect(await adminToken(own)).to.have.length.greaterThan(31);
    await writeFile(join(data, 'admin-token'), 'k'.repeat(32));
    expect(await adminToken(own)).to.equal('k'.repeat(32));
  });
});
