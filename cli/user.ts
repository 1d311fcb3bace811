import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { ConfigInvalid } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { hashPassword } from '../core/secrets.ts';
import { ROLES } from '../telemetry/registry.ts';
import { putUser, removeUser } from '../telemetry/registry-edit.ts';
import { type Options, settingsOf, text } from './options.ts';
import { openRegistry } from './ports.ts';
import { edit } from './sensor.ts';

const SHORTEST_PASSWORD = 10;

/** `loam user add`: a user with a password and a role, or a new password and role for one who is there. */
export async function addUser(name: string, options: Options): Promise<void> {
  const config = settingsOf(options);
  const role = ROLES.find((known) => known === options.role) ?? 'viewer';
  const farm = text(options, 'farm') ?? '*';
  const password = await readPassword(`Password for ${name}: `);
  if (password.length < SHORTEST_PASSWORD) {
    throw new ConfigInvalid(
      'password',
      `password: got ${password.length} characters, allowed: at least ${SHORTEST_PASSWORD}`,
    );
  }
  const hash = await hashPassword(password);
  await edit(config, (registry) => putUser(registry, { name, password: hash, farms: { [farm]: role } }));
  process.stdout.write(`${name} is ${role} on ${farm === '*' ? 'every farm' : farm}.\n`);
}

/** `loam user list`: one line a user, with the role on each farm. */
export async function listUsers(options: Options): Promise<void> {
  const registry = await openRegistry(settingsOf(options), silent);
  registry.close();
  const users = [...registry.current().users.values()];
  if (users.length === 0) process.stdout.write('Nobody can sign in yet: loam user add --help\n');
  for (const user of users) {
    const roles = Object.entries(user.farms).map(([farm, role]) => `${farm}:${role}`);
    process.stdout.write(`${[user.name, roles.join(' '), user.password ? '' : 'has no password yet'].join('\t')}\n`);
  }
}

/** `loam user remove`: takes a user out of the registry; open dashboards are closed within seconds. */
export async function removeUserCommand(name: string, options: Options): Promise<void> {
  await edit(settingsOf(options), (registry) => removeUser(registry, name));
  process.stdout.write(`${name} is removed.\n`);
}

/** One line from standard input; on a terminal it is asked for and not shown. */
async function readPassword(question: string): Promise<string> {
  const terminal = process.stdin.isTTY;
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: mute, terminal });
  if (terminal) process.stderr.write(question);
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (terminal) process.stderr.write('\n');
  }
}
