import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { pino } from 'pino';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { type Config, loadConfig } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
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
  const refusal = (opening: Promise<unknown>) =>
    opening.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('is made at first need, once, in a file that its owner alone can read', async () => {
    const [one, other] = [await open(), await open()];
    expect([one.current(), other.current()]).to.deep.equal([undefined, undefined]);
    const keys = await Promise.all([one.make(), other.make(), one.make(), other.make()]);
    expect(new Set(keys).size, 'whoever is quicker').to.equal(1);
    expect(keys[0])
      .to.have.length.at.least(32)
      .and.equal(await readFile(path, 'utf8'));
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect(other.current()).to.equal(keys[0]);
    expect((await open()).current()).to.equal(keys[0]);
  });

  it('of the setting comes before the file, and makes none', async () => {
    const key = await open({ secretKey: 'k'.repeat(32) });
    expect(await key.make()).to.equal('k'.repeat(32));
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
    expect((await open()).current()).to.equal('k'.repeat(40));
  });

  it('that is missing when the registry comes to need it is named in the log once, and found when it is there', async () => {
    const key = await open();
    await registry.apply([WITH_TOKEN], 'test');
    await until('it is said', () => logged.length === 1);
    expect(logged[0]).to.include('LOAM_SECRET_KEY').and.include('north/s1');
    await registry.apply([farm('Another')], 'test');
    expect(await refusal(key.make()), 'another key would not fit').to.be.instanceOf(ConfigInvalid);
    await writeFile(path, 'k'.repeat(40));
    await registry.apply([farm('And another')], 'test');
    await until('it is found', () => key.current() === 'k'.repeat(40));
    expect(logged).to.have.length(1);
  });
});
