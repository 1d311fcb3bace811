import { expect } from 'chai';
import { z } from 'zod';
import { REFUSALS_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { RegistryChange, RegistryPort } from '../../backbone/ports/registry.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { encodeEvent } from '../../telemetry/event.ts';
import type { Noted } from '../../telemetry/noted.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { call, overlay, PASSWORD, Place, problemCode } from './harness.ts';

const T = 1_790_000_000_000;
const event = z.looseObject({
  at: z.number(),
  kind: z.string(),
  who: z.string().nullable(),
  from: z.string().nullable(),
  farm: z.string().nullable(),
  sensor: z.string().nullable(),
  why: z.string().nullable(),
  what: z.string().nullable(),
  count: z.number(),
});
const page = z.object({ events: z.array(event), next: z.string().nullable() });
const refusals = z.object({
  sensors: z.array(z.object({ sensor: z.string(), refused: event.nullable(), certain: z.boolean() })),
});

describe('the list of events', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: Gateway;
  let ada: string;

  beforeEach(async () => {
    place = await Place.open();
    await place.edit((text) =>
      text
        .replace('  - name: sam\n', '  - name: nora\n    farms: { north: admin }\n    password: HASH\n  - name: sam\n')
        .replace('HASH', /password: (\S+)/.exec(text)?.[1] ?? ''),
    );
    gateway = await place.gateway();
    ada = await place.signIn(gateway, 'ada');
  });

  afterEach(() => place.close());

  const ask = (path: string, cookie = ada) => call(gateway.port, path, { headers: { cookie } });
  async function list(path = '/api/events', cookie = ada): Promise<z.infer<typeof page>> {
    return page.parse(JSON.parse((await ask(path, cookie)).text));
  }
  /** The list once it has `count` of these kinds. */
  const eventually = (count: number, kind: string) =>
    until(`${count} ${kind}`, async () => {
      const { events } = await list(`/api/events?kind=${kind}`);
      return events.length >= count && events;
    });
  const send = (path: string, body: object, cookie = ada) =>
    call(gateway.port, path, { method: 'POST', headers: { cookie }, body });

  function noted(over: Partial<Noted>): Noted {
    const none = { who: '', from: '', farm: '', sensor: '', why: '', what: '', count: 1 };
    return { kind: 'mqtt_refused', id: `${Math.random()}`, at: T, ...none, ...over };
  }
  const refuse = (over: Partial<Noted>) => place.refusals.log.append(encodeEvent(noted(over)));

  it('has who signed in, who could not, and who signed out, with their address and no password', async () => {
    const wrong = (user: string, password: string) =>
      call(gateway.port, '/api/login', { method: 'POST', body: { user, password } });
    await wrong('vera', 'hunter-2-hunter');
    await wrong('hunter-2-by-mistake', PASSWORD);
    await call(gateway.port, '/api/login', { method: 'POST', body: { token: 'x'.repeat(43) } });
    await send('/api/logout', {}, await place.signIn(gateway, 'vera'));
    const refusedOnes = await eventually(3, 'sign_in_refused');
    expect(refusedOnes.map(({ who, why, from }) => [who, why, from])).to.have.deep.members([
      ['vera', 'wrong_password', '127.0.0.1'],
      [null, 'unknown_user', '127.0.0.1'],
      [null, 'wrong_token', '127.0.0.1'],
    ]);
    const [out] = await eventually(1, 'signed_out');
    expect(out).to.include({ who: 'vera', from: '127.0.0.1' });
    expect((await eventually(2, 'signed_in')).map(({ who }) => who)).to.have.members(['ada', 'vera']);
    expect(JSON.stringify((await list('/api/events?limit=200')).events)).to.not.match(/hunter/);
  });

  it('tells once of those that are slowed down, with their number', async () => {
    const tries = Array.from({ length: 12 }, () =>
      call(gateway.port, '/api/login', { method: 'POST', body: { user: 'vera', password: 'wrong' } }),
    );
    await Promise.all(tries);
    const found = await eventually(2, 'sign_in_refused');
    expect(found.map(({ why }) => why)).to.have.members(['wrong_password', 'too_many_attempts']);
  });

  it('has commands, imports, exports and what became of dead letters: who, from where, what', async () => {
    const command = { wifi: { ssid: 'field', password: 'hunter2' }, every: 60 };
    await send('/api/farms/north/sensors/s1/commands', { command });
    await send('/api/farms/north/import', { sensor: 's1', rows: [[1, T, { moisture: 30 }]] });
    await ask('/api/farms/north/export.csv?sensor=s1&metric=moisture');
    const publish = { farm: 'north', field: 'f1', sensor: 's1', topic: 't', received: T, payload: Buffer.from('{') };
    await place.dead.append(encodeDead({ publish, reason: 'bad_json', explanation: '', at: T }));
    const { offset } = await until('the letter is listed', async () => {
      const answer = await ask('/api/farms/north/dead-letters');
      if (answer.status !== 200) return undefined;
      return z.object({ letters: z.array(z.object({ offset: z.number() })) }).parse(JSON.parse(answer.text)).letters[0];
    });
    await send(`/api/farms/north/dead-letters/${offset}/discard`, {});
    for (const [kind, what] of [
      ['command_sent', /"every":60/],
      ['imported', /^1 readings, 0 values overwritten/],
      ['exported', /^s1, moisture, /],
      ['letter_discarded', /bad_json/],
    ] as const) {
      const [found] = await eventually(1, kind);
      expect(found, kind).to.include({ who: 'ada', from: '127.0.0.1', farm: 'north', sensor: 's1' });
      expect(found?.what, kind).to.match(what);
    }
    expect(JSON.stringify((await list()).events)).to.not.include('hunter2');
  });

  it('is one by time, page by page, of the event log, the refusals and a registry that keeps its changes', async () => {
    const change = (seq: number): RegistryChange => ({
      ...{ kind: 'farm', id: 'north', seq, when: T + seq * 10, who: 'ada', before: undefined },
      after: { id: 'north', name: `N${seq}`, timezone: 'UTC' },
    });
    const kept = Array.from({ length: 40 }, (_, i) => change(i + 1));
    const registry: RegistryPort = overlay<RegistryPort>(place.registry, {
      keepsChanges: true,
      newestChanges: async (before = Number.POSITIVE_INFINITY, limit) =>
        kept
          .filter(({ seq }) => seq < before)
          .reverse()
          .slice(0, limit),
    });
    const events = await openFileLog(await temporaryFolder(), 'events', REFUSALS_LOG_LIMITS);
    for (let i = 1; i <= 40; i++) await refuse({ at: T + i * 10 + 3, who: `p${i}` });
    for (let i = 1; i <= 40; i++)
      await events.append(encodeEvent(noted({ kind: 'signed_in', at: T + i * 10 + 6, who: `u${i}` })));
    await gateway.stop(5_000);
    place.gateways.length = 0;
    gateway = await place.gateway({ registry, events });
    const all: z.infer<typeof page>['events'] = [];
    let pages = 0;
    for (let before = ''; ; pages++) {
      const found = await list(`/api/events?limit=7${before}`);
      all.push(...found.events);
      if (found.next === null) break;
      before = `&before=${found.next}`;
    }
    expect(all).to.have.length(120);
    expect(pages).to.be.within(17, 19);
    expect(all.map(({ at }) => at)).to.deep.equal(all.map(({ at }) => at).toSorted((a, b) => b - a));
    expect(new Set(all.map(({ id }) => id)).size).to.equal(120);
    expect((await list('/api/events?kind=registry_changed&limit=200')).events).to.have.length(40);
    expect((await list(`/api/events?since=${T + 395}&limit=200`)).events).to.have.length(4);
    await gateway.stop(5_000);
    place.gateways.length = 0;
    await events.close();
  });

  it('finds what is rare among many, at the latest on later pages', async () => {
    await place.events.append(encodeEvent(noted({ kind: 'signed_in', who: 'needle before', at: T - 1 })));
    await refuse({ who: 'needle', at: T });
    for (let i = 0; i < 100; i++)
      await Promise.all(Array.from({ length: 100 }, () => refuse({ who: 'hay', at: T + 1 })));
    const path = '/api/events?kind=mqtt_refused,signed_in&text=NEEDLE';
    const found: (string | null)[] = [];
    let pages = 0;
    for (let before: string | null = ''; before !== null; pages++) {
      const { events, next }: z.infer<typeof page> = await list(`${path}${before === '' ? '' : `&before=${before}`}`);
      found.push(...events.map(({ who }) => who));
      before = next;
    }
    expect(found, 'in order, though the older one was found first').to.deep.equal(['needle', 'needle before']);
    expect(pages).to.equal(3);
  });

  it('shows a farm’s admin what is certainly the farm’s, and nobody who is no admin anything', async () => {
    const nora = await place.signIn(gateway, 'nora');
    await refuse({ who: 'p7', from: '10.0.0.7', why: 'wrong_password' });
    await refuse({ who: 'south/t1', farm: 'south', sensor: 't1', why: 'wrong_password' });
    await refuse({ who: 'north/s1', farm: 'north', sensor: 's1', why: 'wrong_password', from: '10.0.0.8' });
    const { events } = await list('/api/farms/north/events?limit=200', nora);
    expect(events.filter(({ kind }) => kind === 'mqtt_refused').map(({ who }) => who)).to.deep.equal(['north/s1']);
    expect(events.every(({ farm }) => farm === 'north')).to.equal(true);
    expect(await eventually(3, 'mqtt_refused')).to.have.length(3);
    expect((await list('/api/events?farm=south')).events.map(({ who }) => who)).to.deep.equal(['south/t1']);

    for (const path of ['/api/events', '/api/farms/south/events', '/api/farms/south/refusals'])
      expect(problemCode(await ask(path, nora)), path).to.equal('forbidden');
    const vera = await place.signIn(gateway, 'vera');
    for (const path of ['/api/events', '/api/farms/north/events', '/api/farms/north/refusals'])
      expect(problemCode(await ask(path, vera)), path).to.equal('forbidden');
    expect(problemCode(await ask('/api/events', 'loam=x'))).to.equal('not-signed-in');
    for (const query of ['before=1', 'kind=x', 'limit=0', 'limit=201', 'text=', 'farm=north&farm=south'])
      expect(problemCode(await ask(`/api/events?${query}`)), query).to.equal('invalid-request');
  });

  it('knows the newest refusal of each sensor; of a name that says no farm, for admins of every farm alone', async () => {
    const of = async (cookie: string) =>
      refusals.parse(JSON.parse((await ask('/api/farms/north/refusals', cookie)).text)).sensors;
    const nora = await place.signIn(gateway, 'nora');
    await refuse({ who: 'north/s1', farm: 'north', sensor: 's1', why: 'wrong_password', at: T });
    await refuse({ who: 'north/s1', farm: 'north', sensor: 's1', why: 'will', at: T + 1, count: 4 });
    await refuse({ who: 's2', why: 'wrong_password', at: T + 2 });
    const found = await until('both are known', async () => {
      const sensors = await of(ada);
      return sensors.length === 2 && sensors;
    });
    expect(found.map(({ sensor, certain, refused }) => [sensor, certain, refused?.why, refused?.count])).to.deep.equal([
      ['s1', true, 'will', 4],
      ['s2', false, 'wrong_password', 1],
    ]);
    expect((await of(nora)).map(({ sensor }) => sensor)).to.deep.equal(['s1']);
  });

  it('has the edits of a YAML registry with old and new value, and no secret', async () => {
    await place.edit((text) => text.replace('name: Row 3', 'name: Row 4').replace('ab'.repeat(32), 'cd'.repeat(32)));
    const found = await until('the edit is listed', async () => {
      const { events } = await list('/api/farms/north/events?kind=registry_changed&text=row%204');
      return events[0];
    });
    expect(found).to.deep.include({ farm: 'north', sensor: 's1', who: 'test' });
    expect(found.change).to.deep.equal({
      thing: 'sensor',
      id: 'north/s1',
      keys: { name: ['Row 3', 'Row 4'], secret: ['(secret)', '(secret)'] },
    });
  });
});
