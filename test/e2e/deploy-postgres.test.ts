import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { itIfLong } from '../services/length.ts';
import { startPostgres } from '../services/postgres.ts';
import { temporaryFolder } from '../services/wait.ts';
import { run } from './loam-process.ts';

const SCRIPT = fileURLToPath(new URL('../../deploy/postgres.sh', import.meta.url));

describe('the PostgreSQL of compose.postgres.yaml', function () {
  this.timeout(120_000);

  itIfLong('gives Loam a schema of its own, with which its registry works, and no more', async () => {
    const server = await startPostgres();
    try {
      const admin = new URL(await server.createDatabase());
      const folder = await temporaryFolder();
      const file = join(folder, 'postgres-password');
      await writeFile(file, 'a-password-of-32-letters-and-more');
      const as = {
        ...{ PGHOST: admin.hostname, PGPORT: admin.port, PGPASSWORD: admin.password },
        ...{ POSTGRES_USER: admin.username, POSTGRES_DB: admin.pathname.slice(1) },
      };
      execFileSync(SCRIPT, { env: { ...process.env, ...as, LOAM_POSTGRES_PASSWORD_FILE: file } });
      const url = join(folder, 'registry-url');
      await writeFile(url, `postgres://loam:a-password-of-32-letters-and-more@${admin.host}${admin.pathname}\n`);
      const env = { LOAM_DATA: join(folder, 'data'), LOAM_REGISTRY_FILE: url };
      const made = await run(['farm', 'add', 'north', '--name', 'North', '--timezone', 'UTC'], env);
      expect(made.code, made.stderr).to.equal(0);
      expect((await run(['farm', 'list'], env)).stdout).to.include('north');
      const rights = (what: string) => {
        const args = ['-X', '-t', '-A', '-c', `SELECT ${what} FROM pg_roles WHERE rolname = 'loam'`, admin.href];
        return execFileSync('psql', args, { encoding: 'utf8' }).trim();
      };
      expect(rights('rolsuper, rolcreatedb, rolcreaterole, rolbypassrls')).to.equal('f|f|f|f');
      expect(rights(`has_database_privilege(rolname, '${admin.pathname.slice(1)}', 'CREATE')`)).to.equal('f');
    } finally {
      await server.close();
    }
  });
});
