import { ConfigInvalid } from '../core/errors.ts';
import { hashPassword } from '../core/secrets.ts';
import { EVERY_FARM, ROLES, type Role, type User } from '../telemetry/registry/things.ts';
import { askSecret } from './ask-secret.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printRow } from './output.ts';
import { editRegistry, lookIntoRegistry } from './registry.ts';
import { changeThing } from './things.ts';

const SHORTEST_PASSWORD = 10;

/** `loam user add`: adds a user. An existing user gets the new password, and the role and farm that were given. */
export async function addUser(name: string, options: Options): Promise<void> {
  const config = settingsOf(options);
  const given = { role: ROLES.find((known) => known === options.role), farm: text(options, 'farm') };
  const hash = await newPassword(name);
  let farms: User['farms'] = {};
  await editRegistry(config, (current) => {
    const user = current.users.get(name);
    const changed = user ? changedRoles(user, given) : { [given.farm ?? EVERY_FARM]: given.role ?? 'viewer' };
    farms = { ...user?.farms, ...changed };
    return [{ kind: 'user', id: name, value: { name, ...user, password: hash, farms } }];
  });
  const roles = Object.entries(farms).map(([farm, role]) => `${role} on ${farm === EVERY_FARM ? 'every farm' : farm}`);
  print(`${name} is ${roles.join(', ') || 'on no farm yet: give --farm'}.\n`);
}

/** `loam user change`: sets what the options name; --farms is all of their farms. With --password it is read as by `addUser`. */
export async function changeUser(name: string, options: Options): Promise<void> {
  const more = options.password === true ? { password: await newPassword(name) } : {};
  await changeThing('user', name, options, () => more);
}

/** The hash of a password from standard input. Rejects with ConfigInvalid for a short one. */
async function newPassword(name: string): Promise<string> {
  const password = await askSecret(`Password for ${name}: `);
  if (password.length >= SHORTEST_PASSWORD) return await hashPassword(password);
  throw new ConfigInvalid(
    'password',
    `password: got ${password.length} characters, allowed: at least ${SHORTEST_PASSWORD}`,
  );
}

/** The roles that change for an existing user, by farm. A farm that was not named is neither added nor taken away. */
function changedRoles(
  { name, farms }: User,
  { role, farm }: { readonly role: Role | undefined; readonly farm: string | undefined },
): Record<string, Role> {
  if (farm !== undefined) {
    // A user of every farm has this farm already; a role on this farm alone would replace that role there.
    if (role === undefined && (Object.hasOwn(farms, farm) || Object.hasOwn(farms, EVERY_FARM))) return {};
    return { [farm]: role ?? 'viewer' };
  }
  if (role === undefined) return {};
  const known = Object.keys(farms);
  if (known.length > 0) return Object.fromEntries(known.map((one) => [one, role]));
  throw new ConfigInvalid('--role', `--role: ${name} is on no farm yet: give --farm, too`);
}

/** `loam user list`: one line a user, with the role on each farm. */
export async function listUsers(options: Options): Promise<void> {
  const users = await lookIntoRegistry(settingsOf(options), (registry) => [...registry.users.values()]);
  if (users.length === 0) print('Nobody can sign in yet: loam user add --help\n');
  for (const user of users) {
    const roles = Object.entries(user.farms).map(([farm, role]) => `${farm}:${role}`);
    printRow([user.name, roles.join(' '), user.password ? '' : 'has no password yet']);
  }
}
