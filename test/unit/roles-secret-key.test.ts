import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { pino } from 'pino';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { type Config, loadConfig } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { KeptSecretKey } from '../../roles/secret-key.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const REGISTRY = 'farms:\n  - { id: north, name: North, timezone: UTC }\n';
const WITH_TOKEN = {
  kind: 'sensor',
  id: 'north/s1',
  value: { id: 's1', farm: 'north', token: 'ab'.repeat(32) },
} as const;
const farm = (name: string) => ({ kind: 'farm', id: 'north', value: { id: 'north', name, timezone: 'UTC' } }) as const;

describe('LOAM_SECRET_KEY', () => {
  let config: Config;
  let registry: YamlRegistry;
  let path: string;
  const logged: string[] = [];
  const log = pino({}, { write: (line: string) => void logged.push(line) });

  beforeEach(async () => {
    config = loadConfig({ data: await temporaryFolder() }, {});
    path = join(config.data, 'secret-key');
    await writeFile(config.registry, REGISTRY);
    registry = await YamlRegistry.open(config.registry, { log: silent, here: true });
    logged.length = 0;
  });
  afterEach(() => registry.close());

  const open = (more: Partial<Config> = {}) => KeptSecretKey.open({ ...config, ...more }, registry, log);
  const whyOf = (key: KeptSecretKey) => key.health()[0]?.why;
  const refusal = (opening: Promise<unknown>) =>
    opening.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('is made by a first start alone, once, in a file that its owner alone can read, and the log says where', async () => {
    const [one, other] = [await open(), await open()];
    for (const key of [one, other]) {
      const error = await refusal(key.required());
      expect(error, 'a role or a command makes none').to.be.instanceOf(ConfigInvalid);
      expect(String(error)).to.include('LOAM_SECRET_KEY').and.include('loam up').and.include(path);
    }
    expect(await refusal(stat(path))).to.be.instanceOf(Error);
    await one.makeFirst();
    await one.makeFirst();
    const text = await readFile(path, 'utf8');
    expect(text).to.have.length.at.least(32);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect(logged).to.have.length(1);
    expect(logged[0]).to.include('secret_key_made').and.include(path).and.include('backup').and.not.include(text);
    await other.makeFirst();
    const ids = [one.current(), await other.required(), (await open()).current()].map((keys) => keys?.id);
    expect(new Set(ids)).to.deep.equal(new Set([new SecretKeys(text).id]));
    expect(logged).to.have.length(1);
  });

  it('that nothing needs and that is damaged is named, and neither replaced nor an end of the start', async () => {
    await writeFile(path, 'short');
    const key = await open();
    await key.makeFirst();
    expect(await readFile(path, 'utf8')).to.equal('short');
    expect(logged).to.have.length(1);
    expect(logged[0]).to.include('secret_key_missing').and.include(path);
    expect(key.current()).to.equal(undefined);
  });

  it('of the setting comes before the file, and makes none', async () => {
    const key = await open({ secretKey: 'k'.repeat(32) });
    await key.makeFirst();
    expect((await key.required()).id).to.equal(new SecretKeys('k'.repeat(32)).id);
    expect(await refusal(readFile(path))).to.be.instanceOf(Error);
  });

  it('that is missing or damaged ends the start when the registry needs it, and is never replaced', async () => {
    await registry.apply([WITH_TOKEN], 'test');
    for (const damage of [undefined, 'short', '']) {
      if (damage !== undefined) await writeFile(path, damage);
      const error = await refusal(open());
      expect(error).to.be.instanceOf(ConfigInvalid).and.include({ setting: 'LOAM_SECRET_KEY' });
      expect(String(error)).to.include('LOAM_SECRET_KEY').and.include('north/s1');
      if (damage !== undefined) expect(await readFile(path, 'utf8')).to.equal(damage);
    }
    await writeFile(path, 'k'.repeat(40));
    expect((await open()).current()?.id).to.equal(new SecretKeys('k'.repeat(40)).id);
  });

  it('that is missing when the registry comes to need it is named in the log once, and found when it is there', async () => {
    const key = await open();
    await registry.apply([WITH_TOKEN], 'test');
    await until('it is said', () => logged.length === 1);
    expect(logged[0]).to.include('LOAM_SECRET_KEY').and.include('north/s1');
    expect(whyOf(key)).to.include('north/s1');
    await registry.apply([farm('Another')], 'test');
    expect(await refusal(key.required())).to.be.instanceOf(ConfigInvalid);
    await writeFile(path, 'k'.repeat(40));
    await registry.apply([farm('And another')], 'test');
    await until('it is found', () => key.current() !== undefined);
    expect(logged).to.have.length(1);
    expect(whyOf(key)).to.equal(undefined);
  });

  it('that does not open something is named with it, in health and in the log, and the rest goes on', async () => {
    const [old, other] = ['o'.repeat(32), 'x'.repeat(32)];
    const keys = new SecretKeys(old);
    const source = (id: string, password: string) => ({
      kind: 'source' as const,
      id,
      value: { id, farm: 'north', url: 'mqtt://127.0.0.1:1', topics: ['#'], password },
    });
    const sealed = (id: string) => keys.seal({ kind: 'source', id, key: 'password' }, 'apple tree');
    const token = { ...WITH_TOKEN, value: { ...WITH_TOKEN.value, token: keys.keptToken('A1_TEST_TOKEN/9f3+c0') } };
    await registry.apply([token, source('west', sealed('west')), source('east', sealed('west'))], 'test');
    const text = await readFile(config.registry, 'utf8');
    const [right, wrong, both] = [
      await open({ secretKey: old }),
      await open({ secretKey: other }),
      await open({ secretKey: `${other},${old}` }),
    ];
    for (const key of [right, both]) {
      expect(whyOf(key)).to.include('the password of source east (was sealed for another place, or is damaged)');
      expect(whyOf(key)).to.not.include('west').and.not.include('north/s1');
    }
    for (const named of ['source east', 'the password of source west', 'the token of north/s1', keys.id]) {
      expect(whyOf(wrong)).to.include(named);
      expect(logged.some((line) => line.includes('secret_key_wrong') && line.includes(named))).to.equal(true);
    }
    expect(wrong.health().every(({ optional }) => optional)).to.equal(true);
    expect(await readFile(config.registry, 'utf8'), 'the text is as it was').to.equal(text);

    await registry.apply([source('east', sealed('east')), { ...token, value: null }], 'test');
    await until('what is mended or removed is not named', () => whyOf(right) === undefined);
    expect(whyOf(wrong)).to.include('source east').and.include('source west').and.not.include('north/s1');
    expect([right, wrong].map(({ countOff }) => countOff)).to.deep.equal([0, 2]);
  });
});
