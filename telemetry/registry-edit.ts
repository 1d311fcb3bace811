import { type Document, isMap, isSeq, parseDocument, YAMLSeq } from 'yaml';
import { RegistryInvalid } from '../core/errors.ts';
import type { Role, Sensor } from './registry.ts';

/**
 * Changes to a registry's text. Comments, order and layout stay as their writer left them. The result is not checked
 * here: `parseRegistry` does that.
 */

/** The registry with some more sensors. Throws RegistryInvalid when the id of one is taken. */
export function addSensor(text: string, ...sensors: (Partial<Sensor> & Pick<Sensor, 'id' | 'farm'>)[]): string {
  const document = read(text);
  for (const sensor of sensors) {
    if (find(document, 'sensors', 'id', sensor.id) >= 0)
      throw new RegistryInvalid(`there is a sensor "${sensor.id}" already`);
    list(document, 'sensors').add(document.createNode(sensor));
  }
  return write(document);
}

/**
 * The registry with some keys of a sensor changed; a key with the value undefined is removed. Throws RegistryInvalid
 * when there is no such sensor.
 */
export function changeSensor(
  text: string,
  id: string,
  changes: { readonly [K in keyof Sensor]?: Sensor[K] | undefined },
): string {
  const document = read(text);
  const at = find(document, 'sensors', 'id', id);
  if (at < 0) throw new RegistryInvalid(`there is no sensor "${id}"`);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) document.deleteIn(['sensors', at, key]);
    else if (document.getIn(['sensors', at, key]) !== value)
      document.setIn(['sensors', at, key], document.createNode(value));
  }
  return write(document);
}

/** The registry without the sensor. Throws RegistryInvalid when there is none of that id. */
export function removeSensor(text: string, id: string): string {
  return remove(text, 'sensors', 'id', id, `there is no sensor "${id}"`);
}

/**
 * The registry with one more user. A user who exists gets the password, if one is given, and the roles on these farms;
 * other keys and roles stay. `password` is a hash.
 */
export function putUser(
  text: string,
  user: { name: string; password?: string; farms: Readonly<Record<string, Role>> },
): string {
  const document = read(text);
  const at = find(document, 'users', 'name', user.name);
  if (at < 0) {
    list(document, 'users').add(document.createNode(user));
    return write(document);
  }
  if (user.password !== undefined) document.setIn(['users', at, 'password'], user.password);
  for (const [farm, role] of Object.entries(user.farms)) document.setIn(['users', at, 'farms', farm], role);
  return write(document);
}

/** The registry with another password hash for one user. Throws RegistryInvalid when there is no such user. */
export function setPassword(text: string, name: string, password: string): string {
  const document = read(text);
  const at = find(document, 'users', 'name', name);
  if (at < 0) throw new RegistryInvalid(`there is no user "${name}"`);
  document.setIn(['users', at, 'password'], password);
  return write(document);
}

/** The registry without the user. Throws RegistryInvalid when there is none of that name. */
export function removeUser(text: string, name: string): string {
  return remove(text, 'users', 'name', name, `there is no user "${name}"`);
}

function read(text: string): Document {
  const document = parseDocument(text);
  const broken = document.errors[0];
  if (broken) throw new RegistryInvalid(broken.message, { cause: broken });
  return document;
}

function write(document: Document): string {
  return document.toString({ lineWidth: 0 });
}

function list(document: Document, key: string): YAMLSeq {
  const found = document.get(key);
  if (isSeq(found)) {
    // An empty list is usually written `[]`: without this, new items would be added to that one line.
    if (found.items.length === 0) found.flow = false;
    return found;
  }
  const made = new YAMLSeq();
  document.set(key, made);
  return made;
}

function find(document: Document, key: string, field: string, value: string): number {
  const items = document.get(key);
  if (!isSeq(items)) return -1;
  return items.items.findIndex((item) => isMap(item) && item.get(field) === value);
}

function remove(text: string, key: string, field: string, value: string, absent: string): string {
  const document = read(text);
  const at = find(document, key, field, value);
  if (at < 0) throw new RegistryInvalid(absent);
  document.deleteIn([key, at]);
  return write(document);
}
