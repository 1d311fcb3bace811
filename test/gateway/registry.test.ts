import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { replaceFile } from '../../core/replace-file.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { decodeEvent, type RegistryChanged } from '../../telemetry/event.ts';
import type { Edit, RegistryEditor } from '../../telemetry/registry/registry.ts';
import { versionOf } from '../../telemetry/registry/things.ts';
import { editFile } from '../services/registry.ts';
import { until } from '../services/wait.ts';
import { type Asked, call, overlay, Place, problemCode } from './harness.ts';

describe('the registry over HTTP', () => {
  let place: Place;
  let gateway: Gateway;
  let cookie: string;
  let path: string;

  beforeEach(async () => {
    place = await Place.open();
    gateway = await place.gateway();
    cookie = await place.signIn(gateway, 'ada');
    path = join(place.folder, 'registry.yaml');
  });
  afterEach(() => place.close());

  const s1 = '/api/farms/north/sensors/s1';
  const as = (method: string, path: string, body?: object, headers: Asked['headers'] = {}) =>
    call(gateway.port, path, { method, ...(body ? { body } : {}), headers: { cookie, ...headers } });
  const rename = (name: string): Edit => ({
    kind: 'sensor',
    id: 'north/s1',
    value: { ...place.registry.current().sensor('north', 's1'), name },
  });
  const versionNow = () => {
    const sensor = place.registry.current().sensor('north', 's1');
    return sensor && `"${versionOf('sensor', 'north/s1', sensor)}"`;
  };

  it('tells with each sensor its version, which is another after each change of it', async () => {
    const got = await as('GET', s1);
    expect(JSON.parse(got.text).sensor).to.include({ id: 's1', name: 'Row 3' }).and.not.have.property('secret');
    const answers = [
      got,
      await as('PUT', s1, { field: 'f1', name: 'Gate' }),
      await as('GET', s1),
      await as('POST', `${s1}/secret`, {}),
    ];
    const tags = answers.map(({ headers }) => headers.etag);
    expect(tags[2]).to.equal(tags[1]);
    expect(new Set(tags).size).to.equal(3);
    expect(tags[3]).to.equal(versionNow());
    expect((await as('POST', '/api/farms/north/sensors', { id: 'p1' })).headers.etag).to.match(/^"[0-9a-f]{16}"$/);
    expect((await as('POST', '/api/farms/north/sensors', [{ id: 'p2' }])).headers).not.to.have.property('etag');
    expect(problemCode(await as('GET', '/api/farms/north/sensors/nobody'))).to.equal('not-found');
    const sam = await place.signIn(gateway, 'sam');
    expect(problemCode(await as('GET', s1, undefined, { cookie: sam }))).to.equal('forbidden');
  });

  it('changes what If-Match names, and otherwise says what is another now', async () => {
    const tag = String((await as('GET', s1)).headers.etag);
    await place.registry.apply([rename('Gate')], 'bob');
    const now = String(versionNow());
    for (const [method, path, body] of [
      ['PUT', s1, { field: 'f1' }],
      ['POST', `${s1}/secret`, {}],
      ['DELETE', s1, {}],
    ] as const) {
      for (const wrong of [tag, `W/${now}`, 'nonsense', '""']) {
        const late = await as(method, path, body, { 'if-match': wrong });
        expect(problemCode(late), `${method} ${wrong}`).to.equal('conflict');
        expect(JSON.parse(late.text).conflicts).to.have.length(1);
        expect(JSON.parse(late.text).conflicts[0]).to.include({
          kind: 'sensor',
          id: 'north/s1',
          now: now.slice(1, -1),
        });
      }
    }
    expect(place.registry.current().sensor('north', 's1')?.name).to.equal('Gate');
    expect((await as('PUT', s1, { field: 'f1', name: 'A' }, { 'if-match': now })).status).to.equal(200);
    expect(
      (await as('PUT', s1, { field: 'f1', name: 'B' }, { 'if-match': `${tag}, ${versionNow()}` })).status,
    ).to.equal(200);
    expect((await as('DELETE', s1, {}, { 'if-match': '*' })).status).to.equal(204);
    const gone = await as('PUT', s1, { field: 'f1' }, { 'if-match': '*' });
    expect(problemCode(gone), 'a change is no registration').to.equal('conflict');
    expect(JSON.parse(gone.text).conflicts[0]).to.include({ now: null });
  });

  it('knows a version that another process made a moment ago', async () => {
    await editFile(path, rename('Gate'));
    const text = await readFile(path, 'utf8');
    expect(text).to.include('Gate');
    const sensor = { ...place.registry.current().sensor('north', 's1'), name: 'Gate' };
    const { id = '', farm = '', field = '', interval = 0, role = 'sensor', ...rest } = sensor;
    const version = versionOf('sensor', 'north/s1', { id, farm, field, interval, role, ...rest });
    const answer = await as('PUT', s1, { field: 'f2', name: 'Gate' }, { 'if-match': `"${version}"` });
    expect(answer.status).to.equal(200);
    expect(place.registry.current().sensor('north', 's1')).to.include({ name: 'Gate', field: 'f2' });
  });

  it('makes a change on what somebody else has just written, and loses none of that', async () => {
    await editFile(path, {
      kind: 'sensor',
      id: 'north/s1',
      value: { ...place.registry.current().sensor('north', 's1'), secret: 'cd'.repeat(32) },
    });
    expect((await as('PUT', s1, { field: 'f2' })).status).to.equal(200);
    expect(place.registry.current().sensor('north', 's1')).to.include({ field: 'f2', secret: 'cd'.repeat(32) });
  });

  it('makes no change for who was admin a moment ago', async () => {
    const newt = await place.signIn(gateway, 'vera');
    await place.edit((text) => text.replace('farms: { north: viewer }', 'farms: { north: admin }'));
    expect((await as('PUT', s1, { field: 'f2' }, { cookie: newt })).status).to.equal(200);
    const text = await readFile(path, 'utf8');
    await replaceFile(path, text.replace('north: admin }\n  - name: sam', 'north: viewer }\n  - name: sam'));
    expect(await readFile(path, 'utf8')).not.to.equal(text);
    expect(problemCode(await as('PUT', s1, { field: 'f1' }, { cookie: newt }))).to.equal('forbidden');
    expect(place.registry.current().sensor('north', 's1')?.field).to.equal('f2');
  });

  it('says that it cannot be changed when others are always quicker, and when it is away', async () => {
    let edits = 0;
    const hurried: RegistryEditor['apply'] = async (given, who) => {
      await place.registry.apply([rename(`${edits++}`)], 'bob');
      return place.registry.apply(given, who);
    };
    const other = await place.gateway({ registry: overlay(place.registry, { apply: hurried }) });
    const answer = await call(other.port, s1, { method: 'PUT', body: { field: 'f2' }, headers: { cookie } });
    expect(problemCode(answer)).to.equal('conflict');
    expect(edits).to.equal(5);
  });

  it('writes down who changed what, without secrets', async () => {
    await as('PUT', s1, { field: 'f2', name: 'Gate' });
    await as('POST', `${s1}/secret`, {});
    await editFile(path, { kind: 'metric', id: 'ph', value: { id: 'ph', label: 'pH' } });
    const read = async (): Promise<RegistryChanged[]> => {
      const entries = await place.events.read('first', 100);
      return entries.flatMap(({ body }) => {
        const event = decodeEvent(body);
        return event?.kind === 'registry_changed' ? [event] : [];
      });
    };
    const events = await until('all are written down', async () => {
      const found = await read();
      return found.length === 3 && found;
    });
    expect(events.map(({ who, thing, thingId }) => [who, thing, thingId])).to.deep.equal([
      ['ada', 'sensor', 'north/s1'],
      ['ada', 'sensor', 'north/s1'],
      ['file', 'metric', 'ph'],
    ]);
    const [described, secret, metric] = events.map(({ what }): unknown => JSON.parse(what));
    expect(described).to.deep.equal({
      field: ['f1', 'f2'],
      name: ['Row 3', 'Gate'],
      interval: [60, 600],
      position: [[52.1, 11.2], null],
    });
    expect(secret).to.deep.equal({ secret: ['(secret)', '(secret)'] });
    expect(metric).to.deep.include({ label: [null, 'pH'] });
    expect(new Set(events.map(({ id }) => id)).size).to.equal(3);
    expect(JSON.stringify(events)).not.to.include('abababab');
  });
});
