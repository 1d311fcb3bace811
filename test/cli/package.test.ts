import { spawn } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { output } from '../services/process.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

/** A user who may do nothing special: Debian's and everybody's `nobody`. */
const NOBODY = 65_534;

describe('the package', function () {
  this.timeout(300_000);

  it('installed into an empty prefix it runs from any folder, for a user who owns nothing of it', async () => {
    const folder = await temporaryFolder();
    await chmod(folder, 0o755);
    // Built already, and by `dist/`'s own test from these sources.
    const packed = await output('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]);
    const prefix = join(folder, 'prefix');
    await output('npm', [
      'install',
      '--global',
      '--prefix',
      prefix,
      '--no-audit',
      '--no-fund',
      join(folder, packed.trim()),
    ]);

    const data = join(folder, 'data');
    await mkdir(data);
    const isRoot = userInfo().uid === 0;
    if (isRoot) await chmod(data, 0o777);
    const [mqtt, http, ops] = [await freePort(), await freePort(), await freePort()];
    const child = spawn(join(prefix, 'bin', 'loam'), ['up'], {
      cwd: data,
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: `${dirname(process.execPath)}:/usr/bin:/bin`,
        HOME: data,
        LOAM_DATA: join(data, 'kept'),
        LOAM_LOG_LEVEL: 'warn',
        LOAM_MQTT_PORT: String(mqtt),
        LOAM_HTTP_PORT: String(http),
        LOAM_OPS_PORT: String(ops),
      },
    });
    const ended = new Promise<unknown>((resolve) => child.once('exit', (code) => resolve(code)));
    try {
      await until('it is ready', async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok, { timeoutMs: 60_000 });
      const page = await (await fetch(`http://127.0.0.1:${http}/`)).text();
      expect(page).to.include('<title>Loam</title>');
      const profiles = await output(join(prefix, 'bin', 'loam'), ['simulate', '--help']);
      expect(profiles).to.include('bad-day');
    } finally {
      child.kill('SIGTERM');
    }
    expect(await ended).to.equal(0);
  });

  it('holds no tests, pictures or sources', async () => {
    const listed: { files: { path: string }[] }[] = JSON.parse(
      await output('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']),
    );
    const folders = new Set(listed.flatMap(({ files }) => files.map(({ path }) => path.split('/')[0])));
    expect([...folders]).to.have.members(['LICENSE', 'README.md', 'cli', 'dist', 'package.json', 'simulators']);
  });
});
