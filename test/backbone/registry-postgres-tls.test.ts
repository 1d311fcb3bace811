import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { ConfigInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { authority, type Papers, signed } from '../broker/certificates.ts';
import { itIfLong } from '../services/length.ts';
import { type PostgresServer, sql, startPostgres } from '../services/postgres.ts';
import { type Proxy as NetworkProxy, startProxy } from '../services/proxy.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { rejection } from './numbered.ts';
import { farm, farmOf, sensor } from './registry-things.ts';

/** An address of this machine that is not in the certificate. */
const OTHER = '127.0.0.2';

describe('PostgreSQL: the registry over TLS', function () {
  this.timeout(120_000);
  let server: PostgresServer;
  let proxy: NetworkProxy;
  let url: string;
  let ca: string;
  let otherCa: string;
  const opened: RegistryPort[] = [];

  before(async () => {
    const folder = await temporaryFolder();
    const root: Papers = await authority();
    // Good for 127.0.0.1 and localhost.
    server = await startPostgres({
      tls: await signed('database', root),
      settings: [`listen_addresses = '127.0.0.1, ${OTHER}'`],
    });
    proxy = await startProxy(server.port);
    [ca, otherCa] = [join(folder, 'ca.pem'), join(folder, 'other.pem')];
    await writeFile(ca, root.cert);
    await writeFile(otherCa, (await authority('another')).cert);
  });

  beforeEach(async () => {
    url = await server.createDatabase();
  });

  afterEach(async () => {
    proxy.thaw();
    await Promise.all(opened.splice(0).map((registry) => registry.close()));
  });

  after(async () => {
    await proxy.close();
    await server.close();
  });

  async function open(query: string, host = '127.0.0.1', port = server.port): Promise<RegistryPort> {
    const at = new URL(url);
    at.hostname = host;
    at.port = String(port);
    const registry = await openPostgresRegistry(`${at}?${query}`, { log: silent });
    opened.push(registry);
    return registry;
  }

  async function isEncrypted(): Promise<boolean> {
    const [row] = await sql(
      url,
      `SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'loam%' AND datname = current_database()`,
    );
    return row?.ssl === true;
  }

  it('without sslmode nothing is encrypted; with it everything is, edits too', async () => {
    await (await open('')).apply([farm()], 'ada');
    expect(await isEncrypted()).to.equal(false);
    await opened.pop()?.close();
    await (await open('sslmode=require')).apply([sensor('s1')], 'ada');
    await until('both connections to be encrypted', isEncrypted);
  });

  it('verify-full and verify-ca trust the authority that is named, and no other', async () => {
    for (const mode of ['verify-full', 'verify-ca', 'require']) {
      await open(`sslmode=${mode}&sslrootcert=${encodeURIComponent(ca)}`);
      const error = await rejection(open(`sslmode=${mode}&sslrootcert=${encodeURIComponent(otherCa)}`));
      expect(error, mode).to.be.instanceOf(ConfigInvalid);
    }
    expect(await rejection(open('sslmode=verify-full'))).to.be.instanceOf(ConfigInvalid);
    expect(await rejection(open('sslmode=verify-ca'))).to.be.instanceOf(ConfigInvalid);
  });

  it('a certificate of another name is refused by verify-full only', async () => {
    const rootcert = `sslrootcert=${encodeURIComponent(ca)}`;
    const full = await rejection(open(`sslmode=verify-full&${rootcert}`, OTHER));
    expect(full).to.be.instanceOf(ConfigInvalid).with.property('message').that.includes('altnames');
    await open(`sslmode=verify-ca&${rootcert}`, OTHER);
  });

  it('files that are not there are named', async () => {
    const error = await rejection(open('sslmode=verify-full&sslrootcert=/nowhere/ca.pem'));
    expect(error).to.be.instanceOf(ConfigInvalid).with.property('message').that.includes('/nowhere/ca.pem');
  });

  itIfLong('a network that swallows everything is got over', async () => {
    const registry = await open('sslmode=require', '127.0.0.1', proxy.port);
    await registry.apply(farmOf(1), 'ada');
    proxy.freeze();
    await until('it to be down', () => registry.state.is === 'down');
    expect(await rejection(registry.apply([sensor('s1')], 'ada'))).to.be.instanceOf(RegistryUnavailable);
    proxy.thaw();
    await until('it to be up', () => registry.state.is === 'up', { timeoutMs: 30_000 });
    await registry.apply([sensor('s2')], 'ada');
  });
});
