import { expect } from 'chai';
import { RegistryInvalid } from '../../core/errors.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { hashPassword, hashSecret } from '../../core/secrets.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { roleOn } from '../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';

const secret = hashSecret('secret-1');
const lines = [
  'farms:', // 1
  '  - { id: north, name: North farm, timezone: Europe/Berlin }', // 2
  '  - { id: south, name: South farm, timezone: Africa/Nairobi }', // 3
  'fields:', // 4
  '  - { id: f1, farm: north, name: Orchard, crop: apple, polygon: [[52, 13], [52, 14], [53, 14]] }', // 5
  '  - { id: f1, farm: south, name: Beans }', // 6
  'sensors:', // 7
  `  - { id: s1, farm: north, field: f1, name: Row 3, position: [52.5, 13.4], interval: 60, secret: ${secret} }`, // 8
  '  - id: s2', // 9
  '    farm: south', // 10
  '  - { id: gw, farm: north, role: bridge }', // 11
  'metrics:', // 12
  '  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 20, max: 45, decimals: 0 }', // 13
  '  - { id: ec, label: EC }', // 14
  'users:', // 15
  '  - { name: ada, farms: { north: admin, "*": viewer } }', // 16
  '  - { name: bob, farms: { south: agronomist } }', // 17
];
const good = lines.join('\n');

/** The good registry with one line (counted from 1) replaced. */
function withLine(number: number, text: string): string {
  return lines.map((line, i) => (i + 1 === number ? text : line)).join('\n');
}

function refusal(text: string): RegistryInvalid {
  try {
    parseRegistry(text);
  } catch (error) {
    if (error instanceof RegistryInvalid) return error;
    throw error;
  }
  throw new Error('the registry was taken');
}

describe('registry', () => {
  it('is read with everything in it', () => {
    const registry = parseRegistry(good);
    expect([...registry.farms.keys()]).to.deep.equal(['north', 'south']);
    expect(registry.fields.get('north')?.get('f1')?.crop).to.equal('apple');
    expect(registry.fields.get('south')?.get('f1')?.name).to.equal('Beans');
    expect(registry.sensor('north', 's1')).to.deep.equal({
      id: 's1',
      farm: 'north',
      field: 'f1',
      name: 'Row 3',
      position: [52.5, 13.4],
      interval: 60,
      secret,
      role: 'sensor',
    });
    expect(registry.sensorsOfFarm.get('north')?.map((s) => s.id)).to.deep.equal(['s1', 'gw']);
    expect(registry.sensorsBySecret.get(secret)?.id).to.equal('s1');
    expect(registry.metrics.get('soil_moisture')?.max).to.equal(45);
    expect(registry.users.get('bob')?.farms).to.deep.equal({ south: 'agronomist' });
  });

  it('fills in what was left out', () => {
    const registry = parseRegistry(good);
    expect(registry.sensor('south', 's2')).to.deep.equal({
      id: 's2',
      farm: 'south',
      field: UNASSIGNED,
      interval: 600,
      role: 'sensor',
    });
    expect(registry.metrics.get('ec')).to.deep.equal({ id: 'ec', label: 'EC', unit: '', decimals: 1 });
  });

  it('may be empty, or lack any list', () => {
    for (const text of ['', '# nothing yet\n', '{}', 'farms: []']) {
      const registry = parseRegistry(text);
      expect(registry.farms.size + registry.sensors.length + registry.users.size, text).to.equal(0);
    }
  });

  it('takes one id in two farms, and finds each by its farm; at most one of an id is marked for certificates', () => {
    const both = withLine(10, '    farm: south\n  - { id: s1, farm: south, cn: id }');
    const registry = parseRegistry(both);
    expect(registry.sensor('north', 's1')?.name).to.equal('Row 3');
    expect(registry.sensor('south', 's1')).to.include({ farm: 'south', cn: 'id' });
    expect(registry.sensor('south', 'gw')).to.equal(undefined);
    expect(registry.sensor('nowhere', 's1')).to.equal(undefined);
    expect(registry.sensorsWithId('s1').map(({ farm }) => farm)).to.deep.equal(['north', 'south']);
    expect(registry.sensorsWithId('nobody')).to.deep.equal([]);
    expect(refusal(both.replace('farm: north, field: f1,', 'farm: north, cn: id, field: f1,')).line).to.equal(11);
    expect(refusal(withLine(11, '  - { id: gw, farm: north, cn: name }')).line).to.equal(11);
  });

  it('takes a token as an HMAC, once, and names all that needs LOAM_SECRET_KEY', () => {
    const token = 'ef'.repeat(32);
    const password = new SecretKeys('k'.repeat(32)).seal({ kind: 'source', id: 'west', key: 'password' }, 'apple tree');
    const source = (more: string) =>
      `\nsources:\n  - { id: west, farm: north, url: "mqtt://h:1883", topics: [a], ${more} }\n`;
    const text = withLine(10, `    farm: south\n    token: ${token}\n    name: sealed:abc`);
    const registry = parseRegistry(text + source(`password: "${password}"`));
    expect(registry.sensorsByToken.get(token)?.id).to.equal('s2');
    expect(registry.keyed).to.deep.equal(['the token of south/s2', 'the password of source west']);
    expect(refusal(good + source('password: apple tree')).message).to.include('loam secrets seal');
    expect(refusal(good + source(`password: "${password}", passwordFile: p`)).message).to.include('only one');
    const at = (url: string) => `${good}${source('username: x').replace('mqtt://h:1883', url)}`;
    for (const url of ['mqtts://a_b.example:8883', 'mqtt://[::1]:1883', 'mqtt://h']) {
      expect(parseRegistry(at(url)).sources.get('west')?.url).to.equal(url);
    }
    const forms = [
      'u:PW@h',
      'PW@h',
      'h?pass=PW',
      'h/?pass=PW',
      'h#PW',
      'h;token=PW',
      'h%3ftoken=PW',
      'u%3APW%40h',
      'u:PW',
    ];
    for (const form of forms) {
      const { message } = refusal(at(`mqtt://${form}`));
      expect(message, form).to.include('mqtt://HOST:PORT').and.not.include('PW');
    }
    expect(parseRegistry(good).keyed).to.deep.equal([]);
    expect(refusal(withLine(11, '  - { id: gw, farm: north, token: the-token-itself-0123 }')).line).to.equal(11);
    const twice = withLine(10, `    farm: south\n    token: ${token}`).replace('role: bridge', `token: ${token}`);
    expect(refusal(twice).line).to.equal(12);
  });

  it('has an empty list of sensors and fields for a farm that has none', () => {
    const registry = parseRegistry('farms: [{ id: north, name: North, timezone: UTC }]');
    expect(registry.sensorsOfFarm.get('north')).to.deep.equal([]);
    expect(registry.fields.get('north')?.size).to.equal(0);
  });

  it('takes a password only as a hash', async () => {
    const hash = await hashPassword('apple tree');
    expect(
      parseRegistry(withLine(16, `  - { name: ada, password: ${hash}, farms: {} }`)).users.get('ada')?.password,
    ).to.equal(hash);
    expect(refusal(withLine(16, '  - { name: ada, password: apple tree, farms: {} }')).line).to.equal(16);
  });
});

describe('a registry is refused with the line', () => {
  const wrong: [what: string, line: number, text: string][] = [
    ['an unknown list', 17, 'metric: []'],
    ['an unknown key', 14, '  - { id: ec, label: EC, units: mS }'],
    ['a key that is there twice', 14, '  - { id: ec, label: EC, label: Salt }'],
    ['a missing name', 3, '  - { id: south, timezone: UTC }'],
    ['a wrong time zone', 2, '  - { id: north, name: North, timezone: Europe/Berlino }'],
    ['an id with a slash', 2, '  - { id: no/rth, name: North, timezone: UTC }'],
    ['an id with a wildcard', 9, '  - id: s+'],
    ['an id of 65 characters', 9, `  - id: ${'s'.repeat(65)}`],
    ['an id that is a number', 9, '  - id: 17'],
    ['a secret in the clear', 8, '  - { id: s1, farm: north, secret: secret-1 }'],
    ['an unknown role of a sensor', 11, '  - { id: gw, farm: north, role: gateway }'],
    ['a metric that is reserved', 14, '  - { id: received, label: EC }'],
    ['a metric in capitals', 14, '  - { id: EC, label: EC }'],
    ['an unknown role of a user', 17, '  - { name: bob, farms: { south: owner } }'],
    ['an interval of nought', 8, '  - { id: s1, farm: north, interval: 0 }'],
    ['a place that is not on Earth', 8, '  - { id: s1, farm: north, position: [95, 13] }'],
    ['a polygon of two corners', 5, '  - { id: f1, farm: north, name: Orchard, polygon: [[52, 13], [52, 14]] }'],
    ['a farm that is there twice', 3, '  - { id: north, name: North again, timezone: UTC }'],
    ['a field that is there twice', 6, '  - { id: f1, farm: north, name: Beans }'],
    ['a sensor that is there twice', 11, '  - { id: s1, farm: north }'],
    ['a metric that is there twice', 14, '  - { id: soil_moisture, label: Again }'],
    ['a user who is there twice', 17, '  - { name: ada, farms: {} }'],
    ['a secret that another sensor has', 11, `  - { id: gw, farm: north, secret: ${secret} }`],
    ['a field of an unknown farm', 6, '  - { id: f1, farm: east, name: Beans }'],
    ['a sensor of an unknown farm', 11, '  - { id: gw, farm: east }'],
    ['a sensor in an unknown field', 11, '  - { id: gw, farm: north, field: f2 }'],
    ['a sensor in a field of another farm', 6, '  - { id: f9, farm: south, name: Beans }'],
    ['a user of an unknown farm', 17, '  - { name: bob, farms: { east: viewer } }'],
    ['broken YAML', 17, '  - { name: bob, farms: { south: viewer }'],
  ];
  for (const [what, line, text] of wrong) {
    it(`for ${what}`, () => {
      // Its line is the one that refers to the field, not the one where the field is missing.
      const blamed = what === 'a sensor in a field of another farm' ? 11 : line;
      const given =
        blamed === line
          ? withLine(line, text)
          : withLine(6, text).replace('id: gw, farm: north', 'id: gw, farm: north, field: f9');
      expect(refusal(given).line).to.equal(blamed);
    });
  }

  it('for one key on a line of its own', () => {
    expect(refusal(withLine(10, '    farm: east')).line).to.equal(10);
    expect(refusal(withLine(10, '    farm: south\n    intervall: 3')).line).to.equal(11);
  });

  it('and for what is no registry at all', () => {
    for (const text of ['farms', '17', '- farms', 'farms: north', '"farms: []', '\t- x', 'a: &a [*a]']) {
      expect(refusal(text), text).to.be.instanceOf(RegistryInvalid);
    }
  });

  it('and for aliases that would grow without end', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`,
    );
    expect(() => parseRegistry(['l0: &l0 [x]', ...levels].join('\n'))).to.throw(RegistryInvalid);
  });

  it('and a prototype cannot be smuggled in', () => {
    expect(refusal('__proto__: { farms: [] }')).to.be.instanceOf(RegistryInvalid);
    const user = parseRegistry(withLine(17, '  - { name: bob, farms: { __proto__: admin } }')).users.get('bob');
    expect(Object.keys(user?.farms ?? { none: '' })).to.deep.equal([]);
  });
});

describe('a user’s role on a farm', () => {
  const registry = parseRegistry(good);
  const role = (name: string, farm: string) => {
    const user = registry.users.get(name);
    if (!user) throw new Error(`no user ${name}`);
    return roleOn(user, farm);
  };

  it('is the one named for that farm', () => {
    expect(role('ada', 'north')).to.equal('admin');
    expect(role('bob', 'south')).to.equal('agronomist');
  });

  it('is otherwise the one for every farm', () => {
    expect(role('ada', 'south')).to.equal('viewer');
  });

  it('is otherwise none', () => {
    expect(role('bob', 'north')).to.equal(undefined);
  });

  it('is none on a farm named like something that every object has', () => {
    expect(role('bob', 'constructor')).to.equal(undefined);
    expect(role('bob', 'toString')).to.equal(undefined);
  });
});
