import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { USUAL_SENSORS } from '../../telemetry/farm-quotas.ts';
import { itIfLong } from '../services/length.ts';
import { editText } from '../services/registry.ts';
import { type Answer, type Asked, call, Place, problemCode } from './harness.ts';

describe('quotas of a farm', () => {
  let place: Place;
  let gateway: Gateway;
  let cookies: Map<string, string>;

  beforeEach(async () => {
    place = await Place.open();
    const file = join(place.folder, 'registry.yaml');
    // Nora runs north, and nothing else.
    await editText(place.registry, file, (text) =>
      text.replace('farms: { north: viewer }', 'farms: { north: admin }').replace('vera', 'nora'),
    );
    gateway = await place.gateway();
    cookies = new Map();
  });

  afterEach(() => place.close());

  const as = async (user: string, method: string, path: string, body: object = {}, headers: Asked['headers'] = {}) => {
    const cookie = cookies.get(user) ?? (await place.signIn(gateway, user));
    cookies.set(user, cookie);
    return call(gateway.port, `/api/farms/north${path}`, { method, body, headers: { cookie, ...headers } });
  };
  const detail = (answer: Answer): string => JSON.parse(answer.text).detail;
  const added = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ id: `n${from + i}` }));

  it('are set by who administers the whole installation, and seen by the farm’s admins alone', async () => {
    const before = await as('nora', 'GET', '/quotas');
    expect(JSON.parse(before.text)).to.deep.equal({ quotas: {}, used: { sensors: 2, commands: 0 } });
    const refused = await as('nora', 'PUT', '/quotas', { sensors: 1_000 });
    expect(refused.status).to.equal(403);
    expect(detail(refused)).to.equal('only for admins of the whole installation');
    expect((await as('sam', 'GET', '/quotas')).status).to.equal(403);

    const set = await as('ada', 'PUT', '/quotas', { sensors: 3 }, { 'if-match': String(before.headers.etag) });
    expect(JSON.parse(set.text).quotas).to.deep.equal({ sensors: 3 });
    expect(problemCode(await as('ada', 'PUT', '/quotas', {}, { 'if-match': String(before.headers.etag) }))).to.equal(
      'conflict',
    );
    expect(await readFile(join(place.folder, 'registry.yaml'), 'utf8')).to.match(/quotas:\s*(\{ )?sensors: 3/);
    const farms = JSON.parse((await as('nora', 'GET', '/../')).text);
    expect(JSON.stringify(farms)).to.not.include('quotas');
    expect(JSON.parse((await as('ada', 'PUT', '/quotas', {})).text).quotas).to.deep.equal({});
    expect(await readFile(join(place.folder, 'registry.yaml'), 'utf8')).to.not.include('quotas');
    expect(problemCode(await as('ada', 'PUT', '/quotas', { sensors: -1 }))).to.equal('invalid-request');
  });

  it('bound how many sensors its admins register, also when many ask at once; who administers everything may add more', async () => {
    await as('ada', 'PUT', '/quotas', { sensors: 7 });
    await as('nora', 'GET', '/quotas');
    const answers = await Promise.all(added(9).map((one) => as('nora', 'POST', '/sensors', one)));
    expect(answers.filter(({ status }) => status === 201)).to.have.length(5);
    const [refused] = answers.filter(({ status }) => status !== 201);
    expect(refused && problemCode(refused)).to.equal('quota-reached');
    expect(refused && detail(refused)).to.equal(
      "the farm's quota of sensors is 7; who administers this installation can raise it",
    );
    expect(refused && JSON.parse(refused.text)).to.include({ quota: 'sensors', most: 7 });
    // A list is registered whole or not at all, and a description of one that is not there registers it.
    expect(problemCode(await as('nora', 'POST', '/sensors', added(2, 20)))).to.equal('quota-reached');
    expect(problemCode(await as('nora', 'PUT', '/sensors/n30', {}))).to.equal('quota-reached');
    expect((await as('nora', 'PUT', '/sensors/s1', { interval: 90 })).status).to.equal(200);
    expect(place.registry.current().sensorsOfFarm.get('north')).to.have.length(7);
    expect((await as('ada', 'POST', '/sensors', added(2, 40))).status).to.equal(201);
    expect((await as('nora', 'DELETE', '/sensors/n40')).status).to.equal(204);
    expect(problemCode(await as('nora', 'POST', '/sensors', added(1, 50)))).to.equal('quota-reached');
  });

  itIfLong('are the usual ones for a farm that has none', async () => {
    const many = Array.from({ length: USUAL_SENSORS - 2 }, (_, i) => `  - { id: m${i}, farm: north }`).join('\n');
    await editText(place.registry, join(place.folder, 'registry.yaml'), (text) =>
      text.replace('metrics:', `${many}\nmetrics:`),
    );
    expect(problemCode(await as('nora', 'POST', '/sensors', { id: 'more' }))).to.equal('quota-reached');
    expect((await as('ada', 'POST', '/sensors', { id: 'more' })).status).to.equal(201);
  });

  it('do not let the farm’s admins raise a rate above the usual one; they may lower it, and leave what others set', async () => {
    const rate = (messages: number) => ({ rate: { messages } });
    const refused = await as('nora', 'POST', '/sensors', { id: 'n1', ...rate(5_000) });
    expect(problemCode(refused)).to.equal('forbidden');
    expect(detail(refused)).to.include('up to 1000 messages');
    expect((await as('nora', 'POST', '/sensors', { id: 'n1', ...rate(10) })).status).to.equal(201);
    expect(problemCode(await as('nora', 'PUT', '/sensors/n1', rate(5_000)))).to.equal('forbidden');
    expect(problemCode(await as('nora', 'PUT', '/sensors/n1', { rate: { burst: 3_600 } }))).to.equal('forbidden');
    expect((await as('nora', 'PUT', '/sensors/n1', rate(1_000))).status).to.equal(200);
    expect((await as('ada', 'PUT', '/sensors/n1', rate(5_000))).status).to.equal(200);
    expect((await as('nora', 'PUT', '/sensors/n1', { name: 'Row 1', ...rate(5_000) })).status).to.equal(200);
    expect(problemCode(await as('nora', 'PUT', '/sensors/n1', rate(5_001)))).to.equal('forbidden');
  });

  it('bound the exports that are under way, however many users ask', async () => {
    await as('ada', 'PUT', '/quotas', { exports: 0 });
    const refused = await as('nora', 'GET', '/export.csv');
    expect(problemCode(refused)).to.equal('quota-reached');
    expect(JSON.parse(refused.text)).to.include({ quota: 'exports', most: 0 });
    await as('ada', 'PUT', '/quotas', { exports: 1 });
    for (let i = 0; i < 3; i++) expect((await as('nora', 'GET', '/export.csv')).status).to.equal(200);
  });

  it('bound the commands that wait for its sensors, all together', async () => {
    await as('ada', 'PUT', '/quotas', { commands: 3 });
    const send = (sensor: string) => as('nora', 'POST', `/sensors/${sensor}/commands`, { command: 1 });
    const sent = [await send('s1'), await send('s2'), await send('s1'), await send('s2')];
    expect(sent.map(({ status }) => status)).to.deep.equal([202, 202, 202, 409]);
    expect(sent[3] && problemCode(sent[3])).to.equal('quota-reached');
    expect(JSON.parse((await as('nora', 'GET', '/quotas')).text).used).to.include({ commands: 3 });
  });
});
