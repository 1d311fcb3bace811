import { expect } from 'chai';
import { THING_KEYS } from '../../cli/thing-keys.ts';
import { SETTINGS } from '../../core/settings.ts';
import { codecFilesIn, parseRegistry } from '../../telemetry/registry/file.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { RegistryState } from '../../telemetry/registry/state.ts';
import { registryText } from '../../telemetry/registry/text.ts';
import { MOST_CODEC_TEXT, THING_SCHEMAS } from '../../telemetry/registry/things.ts';
import { farm, field, hash, sensor, user } from '../backbone/registry-things.ts';

/** Names that mean something else in YAML when they are written as they are. */
const NAMES = [
  ...['yes', 'null', '~', '-', '1e3', '0x1f', '.inf', '2026-11-30', '12:30:45', 'a: b', 'a #b', '# a', '[a', 'a, b}'],
  ...['&a', '*a', '!a', '%a', '@a', '`a', '"a', "'a", ' a ', 'a\nb', 'a\r\nb', '\ta', 'a\u2028b', 'a\u0085b', '\u007f'],
  ...[
    'Größe Süd',
    '果園',
    '🌾',
    '\\',
    '<<',
    '? a',
    '| a',
    '> a',
    '\ud800',
    `${'long words '.repeat(15)}\nand a second line`,
  ],
];
const CODECS = [
  'function decodeUplink() {\n  return { data: {} };\n}\n',
  'no end of line',
  '',
  '\n\n  begins with space\n\ttab\n',
  'ends with spaces   \n   \n\n\n',
  'windows\r\nlines\r\n',
  'windows and others\r\n \nmixed, in lines that would be folded elsewhere\n',
  '\n \n',
  '  \n',
  '   ',
  `${'long '.repeat(200)}\n"quoted" 'quoted' # no comment\n--- \n...\n`,
];

const things: Edit[] = [
  farm('south'),
  farm(),
  field('west'),
  ...NAMES.map((name, i) => sensor(`n${i}`, { name, position: [1.5, -0.25], rate: { messages: 1e9, burst: 1.5 } })),
  sensor('plain', { interval: 600, role: 'sensor', secret: hash(1), aliases: { b: 'y', a: 'x' }, codec: 'c/0.js' }),
  user('a:b', { north: 'viewer', '*': 'admin' }),
  { kind: 'metric', id: 'yes', value: { id: 'yes', label: 'no', min: -1e-7, max: 1e21, plausible: [0, 1] } },
  { kind: 'source', id: 's', value: { id: 's', farm: 'north', url: 'mqtt://h:1', topics: ['#', '+/a'] } },
  { kind: 'setting', id: 'rates', value: { id: 'rates', sensor: { messages: 10 } } },
  ...CODECS.map((text, i): Edit => ({ kind: 'codec', id: `c/${i}.js`, value: { id: `c/${i}.js`, text } })),
];

describe('the text of a registry', () => {
  it('has every thing exactly as it is, whatever is in its texts', () => {
    const state = RegistryState.of(things);
    const again = parseRegistry(registryText(state.things()));
    expect([...again.things()].length).to.equal(things.length);
    for (const { kind, id, thing } of state.things()) expect(again.get(kind, id), `${kind} ${id}`).to.deep.equal(thing);
  });

  it('is the same for equal registries, in whatever order they were made, and leaves out what is usual', () => {
    const text = registryText(RegistryState.of(things).things());
    const turned = RegistryState.of([...things].reverse());
    expect(registryText(turned.things())).to.equal(text);
    expect(registryText(parseRegistry(text).things())).to.equal(text);
    expect(text).to.include(
      `  - { id: plain, farm: north, secret: "${hash(1)}", aliases: { a: x, b: "y" }, codec: c/0.js }\n`,
    );
  });

  it('of nothing reads as nothing', () => {
    expect([...parseRegistry(registryText([])).things()]).to.deep.equal([]);
  });

  it('names the files of its codecs, however it is written, and none when it is broken', () => {
    expect(codecFilesIn('codecs: [{ id: a.js, file: c/a.js }, { id: b.js, text: x }]')).to.deep.equal(['c/a.js']);
    expect(codecFilesIn('{ "codecs" : [{ "id": "a.js", "file": "a.js" }] }')).to.deep.equal(['a.js']);
    expect(codecFilesIn('codecs: [{ id: a.js, file: ../a.js }, 3]')).to.deep.equal([]);
    expect(codecFilesIn('codecs: [{')).to.deep.equal([]);
  });

  it('has for a codec either its text or its file, and a file only where there is a folder', () => {
    for (const codec of ['{ id: a.js }', '{ id: a.js, text: x, file: a.js }', '{ id: a.js, file: a.js }']) {
      expect(() => parseRegistry(`codecs:\n  - ${codec}\n`), codec)
        .to.throw()
        .with.property('line', 2);
    }
  });
});

describe('codecs in a registry', () => {
  it('have a limit on all their text together; less text is always taken', () => {
    const of = (id: number, length: number): Edit => ({
      kind: 'codec',
      id: `${id}.js`,
      value: { id: `${id}.js`, text: 'x'.repeat(length) },
    });
    const most = 1024 ** 2;
    const state = RegistryState.of(Array.from({ length: MOST_CODEC_TEXT / most }, (_, i) => of(i, most)));
    expect(() => state.check([of(99, 1)])).to.throw('all codecs together');
    expect(state.check([of(99, 1), of(0, most - 1)])).to.have.length(2);
    expect(state.check([of(0, 1)])).to.have.length(1);
  });
});

describe('the options of commands for the registry', () => {
  const withoutOption = {
    farm: ['id'],
    field: ['id', 'farm'],
    sensor: ['id', 'farm', 'secret', 'token'],
    metric: ['id'],
    user: ['name', 'password'],
  };
  for (const kind of ['farm', 'field', 'sensor', 'metric', 'user'] as const) {
    it(`have each key of a ${kind}, and are no settings`, () => {
      const keys = Object.keys(THING_KEYS[kind]);
      expect([...keys, ...withoutOption[kind]]).to.have.members(Object.keys(THING_SCHEMAS[kind].shape));
      expect(keys.filter((key) => key in SETTINGS)).to.deep.equal([]);
    });
  }
});
