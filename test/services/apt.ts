import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whether packages may be installed here: apt-get, and root or sudo without a password. */
export async function aptCanInstall(): Promise<boolean> {
  if (!existsSync('/usr/bin/apt-get')) {
    return false;
  }
  if (userInfo().uid === 0) {
    return true;
  }
  return await run('sudo', ['-n', 'true']).then(
    () => true,
    () => false,
  );
}

/**
 * Installs a package of Debian and leaves its services neither started nor enabled: `units` names them, and only those
 * that the machine did not have before are touched. Two processes take turns; the second finds it done. Rejects with
 * the end of apt's output.
 */
export async function aptInstall(name: string, units: string[]): Promise<void> {
  process.stderr.write(`Installing ${name} with apt-get for the tests; this can take a few minutes.\n`);
  const command = ['flock', '/var/lib/dpkg', 'sh', '-c', script, 'install', name, ...units];
  const [program = '', ...args] = userInfo().uid === 0 ? command : ['sudo', '-n', ...command];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let tail = '';
  const keep = (chunk: Buffer) => {
    tail = (tail + chunk.toString()).slice(-2_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0) {
    throw new Error(`apt-get could not install ${name}:\n${tail}\n`);
  }
}

// invoke-rc.d and deb-systemd-invoke ask policy-rc.d before they start a service. One that is there already is the
// administrator's and stays; ours goes when the script ends, and one that a killed script left is known by its text.
const script = `
set -eu
package=$1
shift
if [ "$(dpkg-query -W -f '\${db:Status-Status}' "$package" 2>/dev/null)" = installed ]; then exit 0; fi
new=
for unit in "$@"; do
  if [ ! -e "/lib/systemd/system/$unit" ] && [ ! -e "/lib/systemd/system/$unit.service" ]; then new="$new $unit"; fi
done
policy=/usr/sbin/policy-rc.d
mark='# Only while the tests of Loam install a package.'
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=600 update
apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$package"
for unit in $new; do
  if command -v systemctl; then systemctl disable "$unit" || true; fi
  if [ -e "/etc/init.d/$unit" ]; then update-rc.d "$unit" disable || true; fi
  if [ -d /run/systemd/system ]; then systemctl stop "$unit" || true; fi
done
`;
