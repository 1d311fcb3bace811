import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { SignJWT } from 'jose';
import { z } from 'zod';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { ConfigInvalid, StoreUnavailable } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import { Metrics } from '../../core/metrics.ts';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { createFirstSignIn } from '../../dashboard-gateway/sign-in/first-sign-in.ts';
import { CATALOGUE } from '../../telemetry/catalogue.ts';
import { startInflux } from '../services/influx.ts';
import { until } from '../services/wait.ts';
import { call, cookieOf, overlay, PASSWORD, Place, problemCode, reading, SESSION_KEY } from './harness.ts';

const history = z.object({
  bucketMs: z.number(),
  unit: z.string(),
  rows: z.array(z.tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()])),
});

function source(id: string, farm: string): Health {
  return { name: `source ${id}`, ok: true, optional: true, only: { kind: 'sources', farm } };
}

describe('the gateway over HTTP', () => {
  let place: Place;
  let gateway: Gateway;
  let port: number;

  before(async () => {
    place = await Place.open();
    const web = join(place.folder, 'web');
    await mkdir(join(web, 'assets'), { recursive: true });
    await writeFile(join(web, 'index.html'), '<!doctype html><title>Loam</title>');
    await writeFile(join(web, 'assets', 'app-1a2b.js'), 'export {};');
    await writeFile(join(place.folder, 'secret.txt'), 'secret');
    gateway = await place.gateway();
    port = gateway.port;
  });

  after(() => place.close());

  const get = async (path: string, user = 'vera') => call(port, path, { headers: { cookie: await cookieFor(user) } });
  const cookies = new Map<string, Promise<string>>();
  const cookieFor = (user: string) => {
    const known = cookies.get(user) ?? place.signIn(gateway, user);
    cookies.set(user, known);
    return known;
  };
  const login = (body: object, at = port, headers = {}) => call(at, '/api/login', { method: 'POST', body, headers });

  describe('sessions', () => {
    it('open with the right password, in a cookie that scripts and other sites cannot use', async () => {
      const answer = await login({ user: 'vera', password: PASSWORD });
      expect(JSON.parse(answer.text)).to.deep.equal({
        user: 'vera',
        farms: [{ id: 'north', role: 'viewer' }],
        passwordSet: true,
      });
      const cookie = String(answer.headers['set-cookie']);
      for (const part of ['HttpOnly', 'SameSite=Strict', 'Path=/']) expect(cookie).to.include(part);
      const me = await call(port, '/api/me', { headers: { cookie: cookieOf(answer) } });
      expect(JSON.parse(me.text)).to.include({ user: 'vera' });
    });

    it('are taken as a bearer token too, and end with a sign-out', async () => {
      const token = (await cookieFor('vera')).slice('loam='.length);
      expect((await call(port, '/api/me', { headers: { authorization: `Bearer ${token}` } })).status).to.equal(200);
      const out = await call(port, '/api/logout', { method: 'POST', body: {} });
      expect(out.status).to.equal(204);
      expect(String(out.headers['set-cookie'])).to.include('Max-Age=0');
    });

    it('are needed everywhere', async () => {
      for (const path of ['/api/me', '/api/farms', '/api/farms/north/sensors', '/api/farms/north/history?metric=m']) {
        expect(problemCode(await call(port, path)), path).to.equal('not-signed-in');
      }
    });

    it('are refused when forged, expired, unsigned or of another key', async () => {
      const sign = (key: string, exp: number) =>
        new SignJWT({ pwd: 'x' })
          .setProtectedHeader({ alg: 'HS256' })
          .setIssuer('loam')
          .setSubject('vera')
          .setIssuedAt(exp - 10)
          .setExpirationTime(exp)
          .sign(new TextEncoder().encode(key));
      const soon = Math.floor(Date.now() / 1000) + 1000;
      const real = (await cookieFor('vera')).slice('loam='.length);
      const [head = '', body = '', signature = ''] = real.split('.');
      const none = Buffer.from('{"alg":"none"}').toString('base64url');
      const forged = [
        await sign('z'.repeat(43), soon),
        await sign(SESSION_KEY, soon),
        await sign(SESSION_KEY, soon - 2000),
        `${none}.${body}.`,
        `${head}.${body}.${signature.split('').reverse().join('')}`,
        'nonsense',
      ];
      for (const token of forged) {
        const answer = await call(port, '/api/me', { headers: { cookie: `loam=${token}` } });
        expect(problemCode(answer), token).to.equal('not-signed-in');
      }
    });

    it('end after 12 hours, and are renewed while they are used', async () => {
      let now = Date.now();
      const other = await place.gateway({ now: () => now });
      const cookie = await place.signIn(other, 'vera');
      const me = () => call(other.port, '/api/me', { headers: { cookie } });
      expect((await me()).headers['set-cookie']).to.equal(undefined);
      now += 2 * 3_600_000;
      const renewed = cookieOf(await me());
      expect(renewed).to.match(/^loam=.+/);
      now += 11 * 3_600_000;
      expect(problemCode(await me())).to.equal('not-signed-in');
      expect((await call(other.port, '/api/me', { headers: { cookie: renewed } })).status).to.equal(200);
    });

    it('open for nobody with a wrong password, an unknown name or no password yet', async () => {
      const other = await place.gateway();
      for (const user of ['vera', 'nobody', 'newt', '../x']) {
        expect(problemCode(await login({ user, password: 'wrong' }, other.port)), user).to.equal('wrong-credentials');
      }
    });

    it('are refused for a while after repeated failures, also for the right password', async () => {
      let now = Date.now();
      const other = await place.gateway({ now: () => now });
      const tries = await Promise.all([...Array(8)].map(() => login({ user: 'vera', password: 'wrong' }, other.port)));
      const codes = tries.map(problemCode);
      expect(codes.filter((code) => code === 'wrong-credentials')).to.have.length(5);
      const held = await login({ user: 'vera', password: PASSWORD }, other.port);
      expect(problemCode(held)).to.equal('too-many-attempts');
      expect(Number(held.headers['retry-after'])).to.be.within(1, 60);
      now += 60_000;
      expect((await login({ user: 'vera', password: PASSWORD }, other.port)).status).to.equal(200);
    });

    it('open once with the token of the first sign-in, and a password is then chosen', async () => {
      const firstSignIn = createFirstSignIn({ user: 'newt' });
      const other = await place.gateway({ firstSignIn });
      const { token } = firstSignIn;
      const proxied = await login({ token }, other.port, { 'x-forwarded-for': '10.0.0.1' });
      expect(problemCode(proxied)).to.equal('wrong-credentials');
      const first = await login({ token }, other.port);
      expect(JSON.parse(first.text)).to.include({ user: 'newt', passwordSet: false });
      expect(problemCode(await login({ token }, other.port))).to.equal('wrong-credentials');

      const put = (cookie: string, body: object) =>
        call(other.port, '/api/me/password', { method: 'PUT', headers: { cookie }, body });
      expect(problemCode(await put(cookieOf(first), { password: 'short' }))).to.equal('invalid-request');
      const chosen = await put(cookieOf(first), { password: 'a long enough one' });
      expect(chosen.status).to.equal(204);
      const old = await call(other.port, '/api/me', { headers: { cookie: cookieOf(first) } });
      expect(problemCode(old), 'the session before').to.equal('not-signed-in');
      expect(problemCode(await put(cookieOf(chosen), { password: 'another long one' }))).to.equal('wrong-credentials');
      const again = { password: 'another long one', current: 'a long enough one' };
      expect((await put(cookieOf(chosen), again)).status).to.equal(204);
      expect((await login({ user: 'newt', password: 'another long one' }, other.port)).status).to.equal(200);
    });
  });

  describe('changes', () => {
    it('are refused from another site, as a form, too big, or not as described', async () => {
      const body = { user: 'vera', password: PASSWORD };
      const to = (headers: Record<string, string>, what: string | object = body) =>
        call(port, '/api/login', { method: 'POST', headers, body: what });
      expect(problemCode(await to({ origin: 'http://evil.example' }))).to.equal('cross-origin');
      expect((await to({ origin: `http://127.0.0.1:${port}` })).status).to.equal(200);
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      expect(problemCode(await to(form, 'user=vera'))).to.equal('unsupported-media-type');
      expect(problemCode(await to({}, 'x'.repeat(20_000)))).to.equal('body-too-large');
      for (const wrong of ['', '{', '[]', '{"user":"vera"}', '{"user":1,"password":"x"}']) {
        expect(problemCode(await to({}, wrong)), wrong).to.equal('invalid-request');
      }
    });
  });

  describe('farms and sensors', () => {
    it('are shown to those who may see them, without any secret', async () => {
      const { metrics, ...seen } = JSON.parse((await get('/api/farms')).text);
      expect(metrics[0]).to.deep.equal({
        id: 'moisture',
        label: 'Moisture',
        unit: '%',
        min: 20,
        max: 45,
        decimals: 1,
      });
      const soil = { id: 'soil_moisture', label: 'Soil moisture', unit: '%', decimals: 1 };
      expect(metrics)
        .to.have.length(1 + CATALOGUE.size)
        .and.to.deep.include(soil);
      expect(seen).to.deep.equal({
        farms: [
          {
            id: 'north',
            name: 'North farm',
            timezone: 'Europe/Berlin',
            role: 'viewer',
            fields: [
              { id: 'f1', name: 'Hill', crop: 'barley' },
              { id: 'f2', name: 'Valley' },
            ],
          },
        ],
        mqtt: { host: '127.0.0.1', port: 1883, tls: false },
      });
      const all = JSON.parse((await get('/api/farms', 'ada')).text);
      expect(all.farms.map((f: { id: string }) => f.id)).to.deep.equal(['north', 'south']);
    });

    it('come with their states, those that nobody registered too', async () => {
      const now = Date.now();
      await place.announce([reading({ sensor: 'stray', ts: now }), reading({ sensor: 's1', ts: now - 100_000_000 })]);
      const { sensors } = await until('the stray sensor', async () => {
        const answer = JSON.parse((await get('/api/farms/north/sensors')).text);
        return answer.sensors.length === 3 && answer;
      });
      expect(sensors[0]).to.deep.equal({
        id: 's1',
        field: 'f1',
        name: 'Row 3',
        position: [52.1, 11.2],
        interval: 60,
        role: 'sensor',
        state: 'offline',
        since: now - 100_000_000 + 300_000,
        lastSeen: now - 100_000_000,
        skewMs: 0,
        refused: 0,
      });
      expect(sensors[1]).to.include({ id: 's2', state: 'never', lastSeen: null });
      expect(sensors[2]).to.include({ id: 'stray', field: 'unassigned', state: 'online' });
    });

    it('of others are forbidden, existing or not', async () => {
      for (const path of ['sensors', 'history?metric=m&sensor=s']) {
        for (const farm of ['north', 'nowhere', '__proto__', 'constructor']) {
          expect(problemCode(await get(`/api/farms/${farm}/${path}`, 'sam'))).to.equal('forbidden');
        }
      }
    });
  });

  describe('history', () => {
    const begin = Date.parse('2026-03-28T00:00:00+01:00');
    const MINUTE = 60_000;
    const HOUR = 3_600_000;

    before(async () => {
      const readings = [...Array(72)].flatMap((_, hour) => [
        reading({ ts: begin + hour * HOUR, values: { moisture: hour } }),
        reading({ ts: begin + hour * HOUR, sensor: 'h2', values: { moisture: 1000 + hour } }),
      ]);
      await place.edit((text) => text.replace('metrics:', '  - { id: h2, farm: north, field: f1 }\nmetrics:'));
      await place.store.write(readings);
    });

    const ask = async (query: string) => {
      const answer = await get(`/api/farms/north/history?${query}`);
      expect(answer.status, answer.text).to.equal(200);
      return history.parse(JSON.parse(answer.text));
    };

    it('takes values with from <= ts < to, in Unix ms or ISO 8601', async () => {
      const from = encodeURIComponent('2026-03-28T00:00:00+01:00');
      const { rows, unit, bucketMs } = await ask(`sensor=s1&metric=moisture&from=${from}&to=${begin + 2 * HOUR}`);
      expect(unit).to.equal('%');
      expect(bucketMs).to.equal(15_000);
      expect(rows).to.deep.equal([
        [begin, 0, 0, 0, 0, 1],
        [begin + HOUR, 1, 1, 1, 1, 1],
      ]);
    });

    it('keeps to the points asked for', async () => {
      for (const points of [1, 2, 5, 24, 100]) {
        const range = `from=${begin}&to=${begin + 72 * HOUR}&points=${points}`;
        const { rows } = await ask(`sensor=s1&metric=moisture&${range}`);
        expect(rows.length).to.be.within(1, points);
        expect(
          rows.reduce((sum, row) => sum + row[5], 0),
          'no value is lost',
        ).to.equal(72);
      }
    });

    it('cuts days where they begin in the farm’s zone, over a change of clocks', async () => {
      const { rows, bucketMs } = await ask(`sensor=s1&metric=moisture&from=${begin}&to=${begin + 71 * HOUR}&points=3`);
      expect(bucketMs).to.equal(24 * HOUR);
      expect(rows.map((row) => [row[0], row[5]])).to.deep.equal([
        [begin, 24],
        [begin + 24 * HOUR, 23],
        [begin + 47 * HOUR, 24],
      ]);
    });

    it('of a field takes its sensors together', async () => {
      const { rows } = await ask(`field=f1&metric=moisture&from=${begin}&to=${begin + HOUR}&points=1`);
      expect(rows.map(([, , ...rest]) => rest)).to.deep.equal([[0, 1000, 500, 2]]);
      expect((await ask(`field=nowhere&metric=moisture&from=${begin}&to=${begin + HOUR}`)).rows).to.deep.equal([]);
    });

    it('of a field counts each sensor once in the mean of a bucket, however often it measured, in any width', async () => {
      const often = [...Array(72)].map((_, hour) => reading({ ts: begin + hour * HOUR, values: { wet: 20 } }));
      await place.store.write([...often, reading({ ts: begin + HOUR, sensor: 'h2', values: { wet: 40 } })]);
      for (const points of [1, 2, 3]) {
        const { rows } = await ask(`field=f1&metric=wet&from=${begin}&to=${begin + 71 * HOUR}&points=${points}`);
        const means = rows.map(([, , , , mean]) => mean);
        expect(means, `${points} points`).to.deep.equal(rows.map((_, i) => (i === 0 ? 30 : 20)));
      }
    });

    it('of a field holds a last value for two and a half intervals, by the registry of now', async () => {
      const each = Array.from({ length: 60 }, (_, minute) =>
        reading({ ts: begin + minute * MINUTE, sensor: 'h2', values: { wet: 20 } }),
      );
      await place.store.write([...each, reading({ ts: begin + 10 * MINUTE + 1, values: { wet: 40 } })]);
      const held = async () => {
        const { rows } = await ask(`field=f1&metric=wet&from=${begin}&to=${begin + 60 * MINUTE}&points=60`);
        expect(rows).to.have.length(60);
        return rows.flatMap(([, , , , mean], minute) => (mean === 30 ? [minute] : []));
      };
      expect(await held()).to.deep.equal([10, 11, 12]);
      await place.edit((text) => text.replace('name: Row 3, interval: 60', 'name: Row 3, interval: 120'));
      expect(await held()).to.deep.equal([10, 11, 12, 13, 14, 15]);
    });

    it('refuses what is not a question', async () => {
      const wrong = [
        'metric=moisture',
        'sensor=s1',
        'sensor=s1&field=f1&metric=moisture',
        'sensor=s1&metric=moisture&from=2&to=1',
        `sensor=s1&metric=moisture&from=${begin}&to=${begin}`,
        'sensor=s1&metric=moisture&from=yesterday',
        'sensor=s1&metric=moisture&from=2026-03-28T00:00:00',
        'sensor=s1&metric=moisture&points=0',
        'sensor=s1&metric=moisture&points=5001',
        'sensor=s1&metric=x%22%3Bdrop',
        'sensor=s1&sensor=s2&metric=moisture',
        'sensor=s1&metric=moisture&colour=red',
        'sensor=s1&metric=moisture&__proto__=1',
      ];
      for (const query of wrong) {
        expect(problemCode(await get(`/api/farms/north/history?${query}`)), query).to.equal('invalid-request');
      }
    });
  });

  describe('the browser app', () => {
    it('is sent for / and its own routes, with headers that keep others out', async () => {
      for (const path of ['/', '/farms/north', '/index.html']) {
        const answer = await call(port, path);
        expect(answer.status, path).to.equal(200);
        expect(answer.text).to.include('<title>Loam</title>');
        expect(answer.headers['content-type']).to.equal('text/html; charset=utf-8');
        expect(answer.headers['content-security-policy']).to.include("frame-ancestors 'none'");
        expect(answer.headers['x-content-type-options']).to.equal('nosniff');
        expect(answer.headers['cache-control']).to.equal('no-cache');
      }
    });

    it('is kept by browsers where its name holds a hash, and asked for again cheaply elsewhere', async () => {
      const script = await call(port, '/assets/app-1a2b.js');
      expect(script.headers['cache-control']).to.include('immutable');
      expect(script.headers['content-type']).to.include('text/javascript');
      const etag = String((await call(port, '/')).headers.etag);
      const again = await call(port, '/', { headers: { 'if-none-match': etag } });
      expect([again.status, again.text]).to.deep.equal([304, '']);
    });

    it('answers HEAD like GET without the body', async () => {
      const answer = await call(port, '/', { method: 'HEAD' });
      expect([answer.status, answer.text, answer.headers['content-length']]).to.deep.equal([200, '', '34']);
    });

    it('gives nothing from outside its folder', async () => {
      for (const path of [
        '/../secret.txt',
        '/..%2fsecret.txt',
        '/assets/../../secret.txt',
        '/%2e%2e/secret.txt',
        '//etc/passwd.x',
      ]) {
        const answer = await call(port, path);
        expect(answer.status, path).to.equal(404);
        expect(answer.text).not.to.include('secret');
      }
    });

    it('says so when it has not been built', async () => {
      const other = await place.gateway({ webFolder: join(place.folder, 'nowhere') });
      expect(problemCode(await call(other.port, '/'))).to.equal('app-not-built');
    });
  });

  describe('problems', () => {
    it('name themselves by code', async () => {
      expect(problemCode(await call(port, '/api/nothing'))).to.equal('not-found');
      expect(problemCode(await call(port, '/nothing.js'))).to.equal('not-found');
      expect(problemCode(await call(port, '/api/%zz'))).to.equal('not-found');
      const answer = await call(port, '/api/login');
      expect(problemCode(answer)).to.equal('method-not-allowed');
      expect(answer.headers.allow).to.equal('POST');
      expect(answer.headers['content-security-policy']).to.be.a('string');
    });
  });

  describe('dependencies', () => {
    it('are ready or not, by name, while the process lives', async () => {
      const ready = await call(port, '/readyz');
      expect(ready.status).to.equal(200);
      expect(JSON.parse(ready.text).checks.map((c: { name: string }) => c.name)).to.include.members([
        'store',
        'live log',
      ]);
    });

    it('are told to everybody by kind and state alone: no source, path, host or error', async () => {
      const health = (): Health[] => [
        { name: 'store', ok: false, why: 'connect ECONNREFUSED 10.1.2.3:8086' },
        { name: 'registry', ok: false, optional: true, why: '/srv/registry.yaml:7: no', only: { kind: 'registry' } },
        { ...source('rich-customer', 'south'), ok: false, why: '/run/secrets/rich cannot be read' },
        source('other', 'north'),
      ];
      const other = await place.gateway({ health });
      const answer = await call(other.port, '/readyz');
      expect(answer.status).to.equal(503);
      expect(JSON.parse(answer.text)).to.deep.equal({
        ok: false,
        checks: [
          { name: 'store', ok: false },
          { name: 'registry', ok: false, optional: true },
          { name: 'sources', ok: false, optional: true },
        ],
      });
    });

    it('make 503 when the store is away, and work again when it is back', async function () {
      this.timeout(120_000);
      const influx = await startInflux();
      await influx.createDatabase('loam');
      const store = await openInfluxStore(influx.storeUrl('loam'));
      const other = await place.gateway({ store });
      const cookie = await place.signIn(other, 'vera');
      const path = '/api/farms/north/history?metric=moisture&sensor=s1';
      const ask = () => call(other.port, path, { headers: { cookie } });
      try {
        expect((await ask()).status).to.equal(200);
        await influx.stop();
        const refused = await until('a problem', async () => {
          const answer = await ask();
          return answer.status === 503 && answer;
        });
        expect(problemCode(refused)).to.equal('store-unavailable');
        expect(refused.headers['retry-after']).to.be.a('string');
        const unready = await until('not ready', async () => {
          const answer = await call(other.port, '/readyz');
          return answer.status === 503 && answer;
        });
        expect(JSON.parse(unready.text).checks).to.deep.include.members([
          { name: 'live log', ok: true },
          ...JSON.parse(unready.text).checks.filter((c: { name: string; ok: boolean }) => c.name === 'store' && !c.ok),
        ]);
        expect((await call(other.port, '/healthz')).status).to.equal(200);
        await influx.start();
        await until('answers again', async () => (await ask()).status === 200, { timeoutMs: 30_000 });
        await until('ready again', async () => (await call(other.port, '/readyz')).status === 200);
      } finally {
        await other.stop(10_000);
        await store.close();
        await influx.close();
      }
    });
  });

  describe('the system', () => {
    it('is told in plain words, to who is signed in', async () => {
      const metrics = new Metrics();
      const other = await place.gateway({ metrics });
      expect(problemCode(await call(other.port, '/api/system'))).to.equal('not-signed-in');
      const cookie = await place.signIn(other, 'vera');
      const now = Date.now();
      await place.announce([reading({ ts: now, received: now - 250 })]);
      const figures = z.array(z.object({ id: z.string(), label: z.string(), value: z.number(), unit: z.string() }));
      const found = await until('the reading counts', async () => {
        const answer = await call(other.port, '/api/system', { headers: { cookie } });
        const { parts, version, startedAt } = JSON.parse(answer.text);
        expect(parts.map((part: { name: string }) => part.name)).to.include.members(['store', 'live log']);
        expect(version).to.match(/^\d+\.\d+\.\d+/);
        expect(startedAt).to.be.at.most(Date.now());
        const all = new Map(figures.parse(JSON.parse(answer.text).figures).map((figure) => [figure.id, figure]));
        return (all.get('lag')?.value ?? 0) >= 250 && all;
      });
      expect(found.get('readings-heard')).to.include({ unit: '1/s' });
      expect(found.get('viewers')).to.include({ value: 0, label: 'Dashboards open' });
    });

    it('is told of the sources of the own farms, with why, and of other farms’ nothing; all of it to who administers all', async () => {
      const health = (): Health[] => [
        { name: 'store', ok: true },
        { name: 'registry', ok: false, optional: true, why: 'south: no', only: { kind: 'registry' } },
        { ...source('theirs', 'south'), ok: false, why: '/run/secrets/theirs cannot be read' },
        { ...source('ours', 'north'), ok: false, why: 'not connected yet' },
      ];
      const other = await place.gateway({ health });
      const seen = async (user: string) => {
        const cookie = await place.signIn(other, user);
        return JSON.parse((await call(other.port, '/api/system', { headers: { cookie } })).text).parts;
      };
      const store = { name: 'store', ok: true };
      const registry = { name: 'registry', ok: false, optional: true };
      const theirs = { name: 'source theirs', ok: false, optional: true, why: '/run/secrets/theirs cannot be read' };
      const ours = { name: 'source ours', ok: false, optional: true, why: 'not connected yet' };
      expect(await seen('vera')).to.deep.equal([store, registry, ours]);
      expect(await seen('sam')).to.deep.equal([store, registry, theirs]);
      expect(await seen('ada')).to.deep.equal([store, { ...registry, why: 'south: no' }, theirs, ours]);
    });

    it('counts requests by route and status', async () => {
      const metrics = new Metrics();
      const other = await place.gateway({ metrics });
      const cookie = await place.signIn(other, 'vera');
      for (const farm of ['north', 'south'])
        await call(other.port, `/api/farms/${farm}/sensors`, { headers: { cookie } });
      await call(other.port, '/nothing.js');
      const lines = (await metrics.text()).split('\n');
      const route = '/api/farms/{farm}/sensors';
      expect(lines).to.include.members([
        `loam_http_requests_total{route="${route}",status="200"} 1`,
        `loam_http_requests_total{route="${route}",status="403"} 1`,
        'loam_http_requests_total{route="files",status="404"} 1',
        `loam_http_request_seconds_count{route="${route}"} 2`,
        'loam_http_open_requests 0',
      ]);
    });
  });

  describe('a clock that is set', () => {
    const rightNow = Date.now;
    afterEach(() => {
      Date.now = rightNow;
    });

    for (const [how, byMs] of [
      ['back by a minute', -60_000],
      ['back by decades', -20_000 * 86_400_000],
      ['ahead by an hour', 3_600_000],
    ] as const) {
      it(`${how} makes nobody wait: neither requests nor sockets, and who guessed passwords no longer than before`, async () => {
        let setBy = 0;
        Date.now = () => rightNow() + setBy;
        const other = await place.gateway();
        const cookie = await place.signIn(other, 'vera');
        const viewer = await place.watching(other, 'vera');
        for (let i = 0; i < 5; i++) await login({ user: 'ada', password: 'wrong' }, other.port);
        setBy = byMs;
        for (let i = 0; i < 5; i++) {
          expect((await call(other.port, '/api/farms', { headers: { cookie } })).status).to.equal(200);
        }
        viewer.say({ type: 'subscribe', id: 1, farm: 'north' });
        await viewer.next('snapshot');
        const held = await login({ user: 'ada', password: 'wrong again' }, other.port);
        const retry = problemCode(held) === 'too-many-attempts' ? Number(held.headers['retry-after']) : 0;
        expect(retry).to.be.within(0, 2);
        await until('the wait is over', async () => {
          const answer = await login({ user: 'ada', password: PASSWORD }, other.port);
          return answer.status === 200;
        });
      });
    }
  });

  describe('floods', () => {
    it('of bad sign-ins are slowed for the guesser alone: of a thousand, few are looked at', async function () {
      this.timeout(120_000);
      // It hardly moves: less than the first wait, and enough for the limit of requests.
      let now = Date.now();
      const access = { now: () => now, trustedProxies: Networks.parse('127.0.0.1') ?? new Networks() };
      const other = await place.gateway(access);
      const from = (address: string, password: string) =>
        login({ user: 'vera', password }, other.port, { 'x-forwarded-for': address });
      const codes = new Map<string, number>();
      for (let round = 0; round < 20; round++) {
        now += 10;
        const tries = Array.from({ length: 50 }, (_, i) => from('203.0.113.7', `guess ${round} ${i}`));
        for (const answer of await Promise.all(tries)) {
          const code = problemCode(answer);
          codes.set(code, (codes.get(code) ?? 0) + 1);
          if (code === 'too-many-attempts') expect(Number(answer.headers['retry-after'])).to.be.at.least(1);
        }
      }
      const looked = codes.get('wrong-credentials') ?? 0;
      expect(looked).to.equal(5);
      expect((codes.get('too-many-attempts') ?? 0) + looked).to.equal(1_000);
      expect(problemCode(await from('203.0.113.7', PASSWORD)), 'also with the right password').to.equal(
        'too-many-attempts',
      );
      expect((await from('203.0.113.8', PASSWORD)).status, 'who sits elsewhere').to.equal(200);
    });

    it('of requests from one address are cut, and others are served', async () => {
      const now = Date.now();
      const other = await place.gateway({
        now: () => now,
        trustedProxies: Networks.parse('127.0.0.1') ?? new Networks(),
      });
      const ask = (address: string) => call(other.port, '/api/me', { headers: { 'x-forwarded-for': address } });
      let refused = 0;
      for (let round = 0; round < 22; round++) {
        const answers = await Promise.all(Array.from({ length: 50 }, () => ask('203.0.113.7')));
        for (const answer of answers) {
          if (answer.status === 401) continue;
          expect(problemCode(answer)).to.equal('too-many-requests');
          refused++;
        }
      }
      expect(refused).to.equal(100);
      expect((await ask('203.0.113.8')).status).to.equal(401);
      // Who looks after the process is answered whatever others do.
      expect((await call(other.port, '/healthz', { headers: { 'x-forwarded-for': '203.0.113.7' } })).status).to.equal(
        200,
      );
    });
  });

  describe('starting and stopping', () => {
    it('names the setting when the port is taken', async () => {
      const error = await place.gateway({ port }).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(ConfigInvalid);
      expect(error).to.include({ setting: 'LOAM_HTTP_PORT' });
    });

    it('answers what is under way, then lets go of the port', async () => {
      let release: (error: Error) => void = () => {};
      const held = new Promise<never>((_, reject) => {
        release = reject;
      });
      let asked = false;
      const slow = overlay(place.store, {
        history: () => {
          asked = true;
          return held;
        },
      });
      const other = await place.gateway({ store: slow });
      const cookie = await place.signIn(other, 'vera');
      const answer = call(other.port, '/api/farms/north/history?metric=moisture&sensor=s1', { headers: { cookie } });
      await until('the question is under way', () => asked);
      const at = other.port;
      const stopped = other.stop(5_000);
      release(new StoreUnavailable('gone'));
      expect((await answer).status).to.equal(503);
      await stopped;
      const refused = await call(at, '/healthz').catch((e: unknown) => e);
      expect(refused).to.be.instanceOf(Error);
      await other.stop(10_000);
    });

    it('survives clients that leave before their answer', async () => {
      const asked: (() => void)[] = [];
      const history = () => new Promise<never>((_, reject) => asked.push(() => reject(new StoreUnavailable('late'))));
      const other = await place.gateway({ store: overlay(place.store, { history }) });
      const cookie = await place.signIn(other, 'vera');
      const heads = [
        'POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"user"',
        `GET /api/farms/north/history?metric=moisture&sensor=s1 HTTP/1.1\r\nhost: x\r\ncookie: ${cookie}\r\n\r\n`,
      ];
      for (const head of heads) {
        const socket = connect(other.port, '127.0.0.1');
        socket.write(head);
        if (head.startsWith('GET')) await until('the question is under way', () => asked.length > 0);
        const left = once(socket, 'close');
        socket.resetAndDestroy();
        await left;
        // An answer on a later connection: by then the gateway has seen that the one before is gone.
        expect((await call(other.port, '/healthz')).status).to.equal(200);
      }
      for (const answer of asked) answer();
      expect((await call(other.port, '/healthz')).status).to.equal(200);
      await other.stop(10_000);
    });
  });
});
