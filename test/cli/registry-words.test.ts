import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { hashSecret } from '../../core/secrets.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { shortOrLong } from '../services/length.ts';
import { postgres } from '../services/postgres.ts';
import { temporaryFolder } from '../services/wait.ts';

const CODEC = 'function decodeUplink(input) {\n  return { data: { seq: input.bytes[0] } };\n}\n';
const TEXT = `# the farms of the north
farms:
  - { id: north, name: North farm, timezone: Europe/Berlin } # the first
fields:
  - { id: west, farm: north, name: West, polygon: [[52.51, 13.37], [52.51, 13.39], [52.52, 13.38]] }
sensors:
  - { id: s1, farm: north, field: west, secret: ${hashSecret('secret-s1')}, codec: c.js }
  - { id: s2, farm: north, token: ${hashSecret('token-s2')}, rate: { messages: 10 } }
rates: { sensor: { messages: 10, burst: 600 } }
metrics:
  - { id: soil, label: Soil, unit: "%", min: 20 }
users:
  - { name: admin, farms: { "*": admin } }
  - { name: ada, farms: { north: viewer } }
sources:
  - { id: things, farm: north, url: "mqtts://example:8883", topics: ["v3/+/devices/+/up"] }
codecs:
  - { id: c.js, file: codecs/c.js }
`;

describe('the words of the registry', function () {
  this.timeout(300_000);
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    file = join(folder, 'farms.yaml');
    await mkdir(join(folder, 'codecs'));
    await writeFile(join(folder, 'codecs', 'c.js'), CODEC);
    await writeFile(file, TEXT);
  });

  async function environment(url?: string): Promise<Record<string, string>> {
    const data = join(await temporaryFolder(), 'data');
    return { LOAM_DATA: data, ...(url === undefined ? {} : { LOAM_REGISTRY: url }) };
  }
  const onServer = async () => environment(await (await postgres()).createDatabase());

  /** Runs a command that must end well, and resolves to what it says. */
  async function does(env: Record<string, string>, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(args, env);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  }
  /** Runs a command that must be refused, and resolves to why. */
  async function refuses(env: Record<string, string>, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(args, env);
    expect(code, `${args.join(' ')}: ${stdout}${stderr}`).to.equal(2);
    expect(stderr).not.to.match(/^ +at /m);
    return stderr;
  }
  const write = (change: (text: string) => string) => writeFile(file, change(TEXT));

  const ways = [
    ['from a file to a server and back', environment, onServer],
    ['from a server to a file and back', onServer, environment],
  ] as const;
  for (const [where, from, to] of shortOrLong<readonly (typeof ways)[number][]>(ways.slice(0, 1), ways)) {
    it(`export, import and export give the same text ${where}, and say what needs the key`, async () => {
      const [first, second, third] = [await from(), await to(), await from()];
      await does(first, 'registry', 'import', file);
      const { stdout: text, stderr } = await run(['registry', 'export'], first);
      expect(stderr).to.include('LOAM_SECRET_KEY').and.include('the token of north/s2').and.not.include('s1');
      expect(text).to.include(hashSecret('secret-s1')).and.include('decodeUplink').and.not.include('#');
      const exported = join(folder, 'exported.yaml');
      await writeFile(exported, text);
      for (const env of [second, third]) {
        await does(env, 'registry', 'import', exported);
        expect(await does(env, 'registry', 'export', exported)).to.include('is written');
        expect(await readFile(exported, 'utf8')).to.equal(text);
        expect(await does(env, 'registry', 'diff', file)).to.equal('Nothing is different.\n');
        expect(await does(env, 'registry', 'import', file)).to.include('there already');
      }
    });
  }

  const places = [
    ['in a file', environment],
    ['on a server', onServer],
  ] as const;
  for (const [where, make] of shortOrLong<readonly (typeof places)[number][]>(places.slice(0, 1), places)) {
    it(`diff tells what apply would do, and apply does just that, ${where}`, async () => {
      const env = await make();
      await does(env, 'registry', 'import', file);
      await does(env, 'farm', 'add', 'east', '--name', 'East', '--timezone', 'UTC');
      await does(env, 'field', 'add', 'hill', '--farm', 'east', '--name', 'Hill');
      await write((text) =>
        text
          .replace('North farm', 'Northern')
          .replace('min: 20', 'max: 40')
          .replace(/ {2}- \{ id: s2.*\n/, '  - { id: s3, farm: north }\n'),
      );
      const lines = ['+ sensor north/s3', '~ farm north: name', '~ metric soil: min, max'];
      const removals = ['- sensor north/s2', '- field east/hill', '- farm east'];
      const { code, stdout } = await run(['registry', 'diff', file], env);
      expect(code).to.equal(1);
      expect(stdout.split('\n').slice(0, -1)).to.have.members([
        ...lines,
        '1 to add, 2 to change, 0 to remove. 3 that are not in the file stay (--prune removes them).',
      ]);
      const pruned = await run(['registry', 'diff', file, '--prune'], env);
      expect(pruned.code).to.equal(1);
      for (const line of [...lines, ...removals]) expect(pruned.stdout).to.include(`${line}\n`);
      expect(await refuses(env, 'registry', 'apply', file, '--prune')).to.include('--yes');
      await does(env, 'registry', 'apply', file, '--prune', '--yes');
      expect(await does(env, 'registry', 'diff', file, '--prune')).to.equal('Nothing is different.\n');
      expect(await does(env, 'farm', 'list')).to.equal('north\tNorthern\tEurope/Berlin\n');
    });

    it(`apply does not overwrite what somebody changed after it said what it would do, and says what that is, ${where}`, async () => {
      const env = await make();
      await does(env, 'registry', 'import', file);
      await write((text) => text.replace('North farm', 'Northern').replace('label: Soil', 'label: Earth'));
      for (const answer of ['n', 'y']) {
        const apply = new LoamProcess(['registry', 'apply', file], env, 'terminal');
        await apply.says(/Do this\?/);
        if (answer === 'y') await does(env, 'farm', 'change', 'north', '--name', 'Mine');
        apply.child.stdin?.write(`${answer}\n`);
        expect(await apply.ended).to.equal(answer === 'y' ? 2 : 1);
        expect(apply.stdout).to.include(
          answer === 'y' ? 'changed meanwhile: farm north is another' : 'Nothing was changed',
        );
        expect(await does(env, 'metric', 'list')).to.equal('soil\tSoil\t%\n');
      }
      expect(await does(env, 'farm', 'list')).to.include('Mine');
    });

    it(`a file that is wrong anywhere is refused with its line, and nothing of it is taken, ${where}`, async () => {
      const env = await make();
      await does(env, 'registry', 'import', file);
      const before = await does(env, 'registry', 'export');
      const line = 1 + TEXT.slice(0, TEXT.indexOf('topics')).split('\n').length - 1;
      for (const change of [
        (text: string) => text.replace('things, farm: north', 'things, farm: nowhere'),
        (text: string) => text.replace('topics:', 'topic:'),
      ]) {
        await write((text) => change(text).replace('North farm', 'Northern'));
        for (const word of ['import', 'diff', 'apply']) {
          expect(await refuses(env, 'registry', word, file)).to.include(`${file}:${line}: `);
        }
      }
      await write((text) => text.replace('codecs/c.js', 'codecs/d.js'));
      expect(await refuses(env, 'registry', 'import', file)).to.include('codecs/d.js');
      expect(await refuses(env, 'registry', 'import', join(folder, 'none.yaml'))).to.include('none.yaml');
      expect(await does(env, 'registry', 'export')).to.equal(before);
    });
  }

  it('export does not write over the registry itself', async () => {
    const env = await environment();
    await does(env, 'registry', 'import', file);
    await refuses(env, 'registry', 'export', join(String(env.LOAM_DATA), 'registry.yaml'));
  });

  it('import takes more things than a server takes at once in parts, and goes on where it was', async () => {
    const env = await onServer();
    const fields = Array.from({ length: 20_100 }, (_, i) => `  - { id: f${i}, farm: north, name: F${i} }\n`).join('');
    await writeFile(file, `farms: [{ id: north, name: North, timezone: UTC }]\nfields:\n${fields}`);
    const { code, stdout, stderr } = await run(['registry', 'import', file], env);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.include('20000 of 20101').and.include('20101 of 20101');
    expect(stdout).to.include('20101 added');
    expect(await does(env, 'registry', 'import', file)).to.include('there already');
  });

  it('farms, fields, metrics, sensors and people are added, changed, listed, shown and removed by key', async () => {
    const env = await environment();
    await does(env, 'registry', 'import', file);
    await does(env, 'farm', 'add', 'east', '--name', 'East', '--timezone', 'UTC');
    expect(await refuses(env, 'farm', 'add', 'east', '--name', 'E', '--timezone', 'UTC')).to.include('farm change');
    expect(await refuses(env, 'farm', 'add', 'south', '--name', 'S', '--timezone', 'Nowhere')).to.include('timezone');
    await does(env, 'field', 'add', 'hill', '--farm', 'east', '--name', 'Hill', '--polygon', '1,2 1,3 2,3');
    await does(env, 'field', 'change', 'hill', '--crop', 'oats');
    expect(await does(env, 'field', 'list')).to.include('hill\teast\tHill\toats\n');
    expect(await does(env, 'field', 'show', 'hill')).to.include('polygon: [[1, 2], [1, 3], [2, 3]]\n');
    await does(env, 'field', 'change', 'hill', '--crop', '');
    expect(await does(env, 'field', 'show', 'hill')).not.to.include('crop');
    await does(
      env,
      'metric',
      'add',
      'rain',
      '--label',
      'Rain',
      '--unit',
      'mm',
      '--plausible',
      '-1,500',
      '--aliases',
      'a,b',
    );
    expect(await does(env, 'metric', 'show', 'rain'))
      .to.include('plausible: [-1, 500]\n')
      .and.include('aliases: [a, b]\n');
    await does(env, 'metric', 'remove', 'rain');
    await does(env, 'mapping', 'add', 'zigbee', '--farm', 'east', '--kind', 'zigbee2mqtt', '--sensors', 'Bed 1=p1');
    await does(env, 'mapping', 'add', 'tank', '--farm', 'east', '--topic', 'tank/raw', '--metric', 'water_level');
    expect(await refuses(env, 'mapping', 'add', 'x', '--farm', 'east', '--topic', 'farms/#')).to.include('own');
    expect(await refuses(env, 'mapping', 'add', 'tank', '--farm', 'east', '--kind', 'shelly')).to.include(
      'mapping change',
    );
    await does(env, 'mapping', 'change', 'tank', '--topic', 'tank/{metric}', '--metric', '');
    expect(await does(env, 'mapping', 'show', 'tank'))
      .to.include('tank/{metric}')
      .and.not.include('water_level');
    expect(await does(env, 'mapping', 'show', 'zigbee'))
      .to.include('Bed 1')
      .and.include('p1');
    expect(await does(env, 'mapping', 'list'))
      .to.include('zigbee\teast\tzigbee2mqtt\t\t\n')
      .and.include('tank\teast\t\ttank/{metric}\t\n');
    await does(env, 'mapping', 'remove', 'tank', '--farm', 'east');
    expect(await does(env, 'mapping', 'list')).not.to.include('tank');
    await does(env, 'mapping', 'remove', 'zigbee');
    await does(
      env,
      'sensor',
      'add',
      'p1',
      '--farm',
      'east',
      '--field',
      'hill',
      '--position',
      '1.5,2',
      '--clock',
      'receipt',
    );
    await does(
      env,
      'sensor',
      'change',
      'p1',
      '--rate',
      'messages=5,burst=2',
      '--units',
      'rain=mm',
      '--position',
      '',
      '--profile',
      'ec-microsiemens,dragino',
    );
    const changed = await does(env, 'sensor', 'change', 'p1', '--new-secret');
    const shown = await does(env, 'sensor', 'show', 'p1');
    expect(shown).to.include('rate: { burst: 2, messages: 5 }\n').and.include('clock: receipt\n');
    expect(shown).to.include('profile: [ec-microsiemens, dragino]\n');
    expect(await refuses(env, 'sensor', 'change', 'p1', '--profile', 'dragoni')).to.include(
      'pressure-pascals, dragino',
    );
    expect(shown).to.include('secret: (kept as a hash)').and.not.include('position');
    const [, secret = ''] = /this once: (\S+)/.exec(changed) ?? [];
    const state = async () => parseRegistry(await does(env, 'registry', 'export'));
    expect((await state()).sensor('east', 'p1')?.secret).to.equal(hashSecret(secret));
    expect(await refuses(env, 'sensor', 'change', 'p1')).to.include('--interval');
    expect(await refuses(env, 'sensor', 'change', 'p1', '--interval', 'ten')).to.include('--interval');
    expect(await refuses(env, 'sensor', 'change', 'p9', '--name', 'x')).to.include('p9');
    await does(env, 'user', 'change', 'ada', '--farms', 'north=agronomist,east=viewer');
    expect(await does(env, 'user', 'show', 'ada')).to.equal('name: ada\nfarms: { east: viewer, north: agronomist }\n');
    expect((await run(['user', 'change', 'ada', '--password'], env, 'short\n')).code).to.equal(2);
    expect((await run(['user', 'change', 'ada', '--password'], env, 'correct horse battery\n')).code).to.equal(0);
    expect(await does(env, 'user', 'show', 'ada')).to.include('password: (kept as a hash)');
    expect(await refuses(env, 'farm', 'remove', 'east')).to.match(/(field|sensor|user) \S+ still names it/);
    expect(await refuses(env, 'field', 'remove', 'hill')).to.include('sensor east/p1 still names it');
    await does(env, 'sensor', 'remove', 'p1');
    await does(env, 'field', 'remove', 'hill');
    await does(env, 'user', 'remove', 'ada');
    await does(env, 'farm', 'remove', 'east');
    expect((await state()).farms.size).to.equal(1);
  });

  it('codecs are added, replaced, listed, shown and removed, unless a sensor names one', async () => {
    const env = await environment();
    await does(env, 'registry', 'import', file);
    const path = join(folder, 'codecs', 'c.js');
    expect(await does(env, 'codec', 'add', path, '--name', 'maker/d.js')).to.include('added');
    await does(env, 'codec', 'add', path, '--name', 'maker/d.js');
    await writeFile(path, `${CODEC}// newer\n`);
    expect(await does(env, 'codec', 'add', path)).to.include('c.js is replaced');
    expect(await does(env, 'codec', 'show', 'c.js')).to.equal(`${CODEC}// newer\n`);
    expect(await does(env, 'codec', 'list')).to.equal(`c.js\t${CODEC.length + 9}\t1\nmaker/d.js\t${CODEC.length}\t0\n`);
    expect(await refuses(env, 'codec', 'remove', 'c.js')).to.include('sensor north/s1 still names it');
    await does(env, 'codec', 'remove', 'maker/d.js');
    await does(env, 'sensor', 'change', 's1', '--codec', '');
    await does(env, 'codec', 'remove', 'c.js');
    expect(await does(env, 'codec', 'list')).to.include('No codec');
    expect(await refuses(env, 'codec', 'add', join(folder, 'none.js'))).to.include('none.js');
  });
});
