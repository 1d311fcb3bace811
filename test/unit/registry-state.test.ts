import { expect } from 'chai';
import { RegistryConflict, RegistryInvalid } from '../../core/errors.ts';
import { hashPassword } from '../../core/secrets.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { RegistryState } from '../../telemetry/registry/state.ts';
import { canonical, type Kind, MOST_THINGS, readThing, versionOf } from '../../telemetry/registry/things.ts';
import { Dice } from '../chaos/random.ts';

const hash = (text: string) => text.repeat(64).slice(0, 64);
const farm = (id: string): Edit => ({ kind: 'farm', id, value: { id, name: id, timezone: 'UTC' } });
const field = (farm: string, id: string): Edit => ({
  kind: 'field',
  id: `${farm}/${id}`,
  value: { id, farm, name: id },
});
const sensor = (farm: string, id: string, more: object = {}): Edit => ({
  kind: 'sensor',
  id: `${farm}/${id}`,
  value: { id, farm, ...more },
});
const user = (name: string, farms: object): Edit => ({ kind: 'user', id: name, value: { name, farms } });
const metric = (id: string, more: object = {}): Edit => ({ kind: 'metric', id, value: { id, label: id, ...more } });
const source = (id: string, farm: string): Edit => ({
  kind: 'source',
  id,
  value: { id, farm, url: 'mqtt://other:1883', topics: ['#'] },
});
const codec = (id: string): Edit => ({ kind: 'codec', id, value: { id, text: '' } });
const gone = ({ kind, id }: Pick<Edit, 'kind' | 'id'>): Edit => ({ kind, id, value: null });

const BASE = [
  farm('north'),
  farm('south'),
  field('north', 'f1'),
  sensor('north', 's1', { field: 'f1', secret: hash('a') }),
  sensor('north', 's2', { token: hash('b'), cn: 'id' }),
  metric('ec'),
  user('ada', { north: 'admin', '*': 'viewer' }),
  source('old', 'south'),
];

/** Ids of sensors that are there at some time. */
const IDS = ['s', 's1', 's2', 's3', 's4', 's5', 't'];

/** Everything that can be seen of a registry, in no order of its own. */
function seen(state: RegistryState) {
  const byText = (texts: Iterable<string>) => [...texts].sort();
  return {
    things: byText([...state.things()].map(({ kind, id, thing }) => `${kind} ${id} ${canonical(kind, thing)}`)),
    fields: byText([...state.fields].map(([id, ofFarm]) => `${id}: ${byText(ofFarm.keys())}`)),
    lists: byText(
      [...state.farms.keys()].map((id) => `${id}: ${byText((state.sensorsOfFarm.get(id) ?? []).map((s) => s.id))}`),
    ),
    alike: byText([...IDS].flatMap((id) => state.sensorsWithId(id).map((one) => canonical('sensor', one)))),
    secrets: byText([...state.sensorsBySecret].map(([key, { farm, id }]) => `${key} ${farm}/${id}`)),
    tokens: byText([...state.sensorsByToken].map(([key, { farm, id }]) => `${key} ${farm}/${id}`)),
    keyed: byText(state.keyed),
    rates: state.rates,
    count: state.sensorCount,
  };
}

describe('the registry in memory', () => {
  let state: RegistryState;
  let before: ReturnType<typeof seen>;

  beforeEach(() => {
    state = RegistryState.of(BASE);
    before = seen(state);
  });

  // Changes come from the thread that edits the file, or from a database: what was before is equal, not the same object.
  const edit = (...edits: readonly Edit[]) => state.apply(structuredClone(state.check(edits)));
  function refusal(...edits: readonly Edit[]): RegistryInvalid {
    try {
      state.check(edits);
    } catch (error) {
      expect(seen(state), 'nothing is changed').to.deep.equal(before);
      if (error instanceof RegistryInvalid) return error;
      throw error;
    }
    throw new Error('the edits were taken');
  }

  const wrong: [what: string, edits: Edit[], place: [kind: Kind, id: string, path: string]][] = [
    ['a value that is no such thing', [farm('x'), { ...farm('y'), value: { id: 'y' } }], ['farm', 'y', 'name']],
    ['a value of another id', [{ ...farm('x'), id: 'y' }], ['farm', 'y', 'id']],
    ['a thing that is edited twice', [farm('x'), farm('x')], ['farm', 'x', '']],
    ['the removal of what is not there', [gone(farm('x'))], ['farm', 'x', '']],
    ['a sensor of no farm', [sensor('x', 's')], ['sensor', 'x/s', 'farm']],
    ['a sensor in no field', [sensor('north', 's', { field: 'f2' })], ['sensor', 'north/s', 'field']],
    ['a sensor in a field of another farm', [sensor('south', 's', { field: 'f1' })], ['sensor', 'south/s', 'field']],
    ['a field of no farm', [field('x', 'f')], ['field', 'x/f', 'farm']],
    ['a user of no farm', [user('bob', { x: 'admin' })], ['user', 'bob', 'farms.x']],
    ['a source of no farm', [source('new', 'x')], ['source', 'new', 'farm']],
    ['a farm that is removed while a sensor is in it', [gone(farm('north'))], ['farm', 'north', '']],
    ['a farm that is removed while a source is for it', [gone(farm('south'))], ['farm', 'south', '']],
    ['a field that is removed while a sensor is in it', [gone(field('north', 'f1'))], ['field', 'north/f1', '']],
    [
      'a farm that is removed while one comes into it',
      [gone(source('old', '')), gone(farm('south')), sensor('south', 's')],
      ['sensor', 'south/s', 'farm'],
    ],
    [
      'a secret that another sensor has',
      [sensor('south', 's', { secret: hash('a') })],
      ['sensor', 'south/s', 'secret'],
    ],
    ['a token that another sensor has', [sensor('south', 's', { token: hash('b') })], ['sensor', 'south/s', 'token']],
    [
      'a secret given twice',
      [sensor('south', 's', { secret: hash('c') }), sensor('south', 't', { secret: hash('c') })],
      ['sensor', 'south/t', 'secret'],
    ],
    ['a second right to a common name', [sensor('south', 's2', { cn: 'id' })], ['sensor', 'south/s2', 'cn']],
  ];
  for (const [what, edits, [kind, id, path]] of wrong) {
    it(`refuses ${what}, and names the place`, () => {
      const { place } = refusal(...edits);
      expect(place && [place.kind, place.id, place.path.join('.')]).to.deep.equal([kind, id, path]);
    });
  }

  it('refuses more of a kind than may be', () => {
    const sources = Array.from({ length: MOST_THINGS.source }, (_, i) => source(`s${i}`, 'north'));
    expect(refusal(...sources).place?.kind).to.equal('source');
    edit(...sources.slice(1));
    before = seen(state);
    expect(refusal(source('more', 'north')).place?.id).to.equal('more');
    edit(source('more', 'north'), gone(source('s5', '')));
  });

  it('names who still needs what is to be removed', () => {
    expect(refusal(gone(field('north', 'f1'))).message).to.include('sensor north/s1');
    expect(refusal(gone(farm('south'))).message).to.include('source old');
  });

  it('keeps a codec while a sensor names it, and takes a sensor that names one that is not there', () => {
    edit(sensor('north', 's3', { codec: 'c.js' }), sensor('north', 's4', { codec: 'c.js' }));
    edit(codec('c.js'), codec('d.js'));
    before = seen(state);
    expect(refusal(gone(codec('c.js'))).message).to.match(/codec c\.js: sensor north\/s[34] still names it/);
    const changed = sensor('north', 's3', { codec: 'c.js', name: 'Gate' });
    expect(refusal(gone(codec('c.js')), gone(sensor('north', 's4')), changed).message).to.include('sensor north/s3');
    expect(refusal(gone(codec('d.js')), sensor('north', 's3', { codec: 'd.js' })).message).to.include(
      'sensor north/s3',
    );
    edit(gone(codec('d.js')));
    edit(gone(codec('c.js')), gone(sensor('north', 's4')), sensor('north', 's3'));
  });

  it('takes a whole farm out at once, and secrets that change hands', () => {
    edit(
      gone(farm('north')),
      gone(field('north', 'f1')),
      gone(sensor('north', 's1')),
      gone(sensor('north', 's2')),
      user('ada', { '*': 'viewer' }),
    );
    expect(state.sensorsOfFarm.get('north')).to.equal(undefined);
    expect(state.fields.has('north')).to.equal(false);
    expect([state.sensorCount, state.sensorsBySecret.size, state.sensorsByToken.size]).to.deep.equal([0, 0, 0]);
    expect(state.keyed).to.deep.equal([]);
    edit(farm('north'), sensor('north', 's1', { secret: hash('c') }), sensor('north', 's2', { secret: hash('d') }));
    edit(sensor('north', 's1', { secret: hash('d') }), sensor('north', 's2', { secret: hash('c') }));
    expect(state.sensorsBySecret.get(hash('d'))?.id).to.equal('s1');
    expect(state.sensorsBySecret.get(hash('c'))?.id).to.equal('s2');
  });

  it('keeps the order of its lists when a thing is changed', () => {
    edit(
      { ...farm('north'), value: { id: 'north', name: 'Another', timezone: 'UTC' } },
      sensor('north', 's1', { name: 'x' }),
    );
    expect([...state.farms.keys()]).to.deep.equal(['north', 'south']);
    expect(state.sensorsOfFarm.get('north')?.map(({ id }) => id)).to.deep.equal(['s1', 's2']);
  });

  it('changes only what its editor saw, and says of all the rest what it is now', () => {
    const { thing } = [...state.things()].find(({ id }) => id === 'north/s1') ?? {};
    if (!thing) throw new Error('it is there');
    const version = versionOf('sensor', 'north/s1', readThing('sensor', 'north/s1', thing));
    edit({ ...sensor('north', 's1', { name: 'Gate' }), seen: version });
    const tries = [
      { ...sensor('north', 's1'), seen: version },
      { ...sensor('north', 's2'), seen: null },
      { ...sensor('north', 's9'), seen: version },
      { ...farm('east'), seen: null },
    ];
    const [s1, s2] = ['s1', 's2'].map((id) => readThing('sensor', `north/${id}`, state.sensor('north', id)));
    if (!s1 || !s2) throw new Error('they are there');
    let conflict: unknown;
    try {
      state.check(tries);
    } catch (error) {
      conflict = error;
    }
    expect(conflict).to.be.instanceOf(RegistryConflict);
    expect(conflict instanceof RegistryConflict && conflict.conflicts).to.deep.equal([
      { kind: 'sensor', id: 'north/s1', seen: version, now: versionOf('sensor', 'north/s1', s1) },
      { kind: 'sensor', id: 'north/s2', seen: null, now: versionOf('sensor', 'north/s2', s2) },
      { kind: 'sensor', id: 'north/s9', seen: version, now: null },
    ]);
  });

  it('is not changed by an edit to what is there already, however that is written', () => {
    expect(state.check(BASE)).to.deep.equal([]);
    expect(
      state.check([sensor('north', 's1', { secret: hash('a'), interval: 600, field: 'f1', name: undefined })]),
    ).to.deep.equal([]);
  });

  it('gives out another map of metrics after each change of one, and the same after every other', () => {
    const { metrics } = state;
    edit(sensor('south', 's'));
    expect(state.metrics).to.equal(metrics);
    edit(metric('ec', { unit: 'mS/cm' }));
    expect(state.metrics).not.to.equal(metrics);
    expect(metrics.get('ec')?.unit, 'the one before is as it was').to.equal('');
  });

  it('has rates only while they are set', () => {
    expect(state.rates).to.deep.equal({});
    const rates: Edit = { kind: 'setting', id: 'rates', value: { id: 'rates', sensor: { messages: 5 } } };
    edit(rates);
    expect(state.rates).to.deep.equal({ sensor: { messages: 5 } });
    edit(gone(rates));
    expect(state.rates).to.deep.equal({});
  });

  it('is the same whether edits come one by one or all at once', async () => {
    const password = await hashPassword('apple tree');
    for (let run = 0; run < 30; run++) {
      state = new RegistryState();
      const dice = new Dice(run);
      const random = () => dice.next();
      const pick = <T>(...of: T[]): T => picked(of, random());
      let taken = 0;
      for (let step = 0; step < 150; step++) {
        const f = pick('north', 'south', 'east');
        const one: Edit = pick<() => Edit>(
          () => farm(f),
          () => field(f, pick('f1', 'f2')),
          () =>
            sensor(
              f,
              pick('a', 'b', 'c'),
              pick<object>(
                {},
                { field: pick('f1', 'f2') },
                { secret: hash(pick('1', '2', '3')) },
                { token: hash(pick('4', '5')) },
                { cn: 'id' },
                { name: 'sealed:x' },
              ),
            ),
          () => metric(pick('ec', 'ph'), pick({}, { unit: '%' })),
          () => ({ ...user(pick('ada', 'bob'), pick<object>({ [f]: 'viewer' }, { '*': 'admin' })) }),
          () => ({ kind: 'user', id: 'eve', value: { name: 'eve', password, farms: { [f]: 'admin' } } }),
          () => source('old', f),
        )();
        const edits =
          random() < 0.3 ? [gone(one)] : random() < 0.3 ? [one, farm(pick('north', 'south', 'east'))] : [one];
        try {
          edit(...edits);
          taken += 1;
        } catch (error) {
          expect(error).to.be.instanceOf(RegistryInvalid);
        }
        const anew = RegistryState.of([...state.things()].map(({ kind, id, thing }) => ({ kind, id, value: thing })));
        expect(seen(state), `run ${run}, step ${step}`).to.deep.equal(seen(anew));
      }
      expect(taken).to.be.greaterThan(20);
    }
  });

  it('touches little for one sensor among a hundred thousand: the lists of other farms stay as they are', () => {
    const farms = Array.from({ length: 100 }, (_, i) => `farm-${i}`);
    state.apply(state.check(farms.map(farm)));
    for (const id of farms) {
      state.apply(state.check(Array.from({ length: 1_000 }, (_, i) => sensor(id, `s${i}`, { interval: 60 }))));
    }
    const lists = farms.map((id) => state.sensorsOfFarm.get(id));
    const touched = countingMaps(() => edit(sensor('farm-7', 's7', { name: 'Gate', interval: 60 })));
    expect(touched).to.be.lessThan(60);
    const others = farms.map((id, i) => [id, state.sensorsOfFarm.get(id) === lists[i]] as const);
    expect(others.filter(([, isSame]) => !isSame).map(([id]) => id)).to.deep.equal(['farm-7']);
    expect(state.sensorsOfFarm.get('farm-7')?.[7]?.name).to.equal('Gate');
  });
});

/** How often `work` asked a map for something, or set or removed something, or stepped through one. */
function countingMaps(work: () => void): number {
  let count = 0;
  const names = ['get', 'set', 'delete', 'has', 'values', 'keys', 'entries', 'forEach'] as const;
  const originals = names.map((name) => [name, Object.getOwnPropertyDescriptor(Map.prototype, name)] as const);
  for (const [name, original] of originals) {
    Object.defineProperty(Map.prototype, name, {
      configurable: true,
      writable: true,
      value(this: Map<unknown, unknown>, ...given: unknown[]) {
        // To step through a map is to ask it for all that is in it.
        count += ['values', 'keys', 'entries', 'forEach'].includes(name) ? this.size : 1;
        return Reflect.apply(original?.value, this, given);
      },
    });
  }
  try {
    work();
  } finally {
    for (const [name, original] of originals) if (original) Object.defineProperty(Map.prototype, name, original);
  }
  return count;
}

describe('the canonical text of a thing', () => {
  it('has sorted keys and defaults, and is the same from JSON in any order', () => {
    const given = { interval: 60, farm: 'north', id: 's1', aliases: { b: 'ec', a: 'ph' }, position: [1, 2] };
    const thing = readThing('sensor', 'north/s1', given);
    const text =
      '{"aliases":{"a":"ph","b":"ec"},"farm":"north","field":"unassigned","id":"s1","interval":60,"position":[1,2],"role":"sensor"}';
    expect(canonical('sensor', thing)).to.equal(text);
    expect(canonical('sensor', readThing('sensor', 'north/s1', JSON.parse(text)))).to.equal(text);
    const users = [
      { farms: { 2: 'admin', 10: 'admin', a: 'viewer' }, name: 'x' },
      { name: 'x', farms: { a: 'viewer', 10: 'admin', 2: 'admin' } },
    ];
    expect(new Set(users.map((one) => canonical('user', readThing('user', 'x', one)))).size).to.equal(1);
  });

  it('makes a version that tells things of another kind, id or content apart', () => {
    const thing = readThing('farm', 'a', { id: 'a', name: 'A', timezone: 'UTC' });
    const version = versionOf('farm', 'a', thing);
    expect(version).to.match(/^[0-9a-f]{16}$/);
    expect(versionOf('farm', 'a', { ...thing })).to.equal(version);
    expect(versionOf('farm', 'a', { ...thing, name: 'B' })).not.to.equal(version);
    expect(versionOf('farm', 'b', thing)).not.to.equal(version);
  });
});

function picked<T>(of: readonly T[], at: number): T {
  const found = of[Math.floor(at * of.length)];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}
