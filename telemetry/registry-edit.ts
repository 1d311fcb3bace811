import { type Document, isMap, isSeq, parseDocument, type YAMLMap, YAMLSeq } from 'yaml';
import { RegistryInvalid } from '../core/errors.ts';
import type { Role, Sensor } from './registry.ts';

/**
 * Changes to a registry's text. Comments, order and layout stay as their writer left them. The result is not checked
 * here: `parseRegistry` does that.
 */

/** The registry with some more sensors. Throws RegistryInvalid when the farm of one has a sensor with its id. */
export function addSensor(text: string, ...sensors: (Partial<Sensor> & Pick<Sensor, 'id' | 'farm'>)[]): string {
  const document = read(text);
  for (const sensor of sensors) {
    if (findSensor(document, sensor.farm, sensor.id) >= 0)
      throw new RegistryInvalid(`farm "${sensor.farm}" has a sensor "${sensor.id}" already`);
    list(document, 'sensors').add(document.createNode(sensor));
  }
  return write(document);
}

/**
 * The registry with some keys of a sensor changed; a key with the value undefined is removed. Throws RegistryInvalid
 * when the farm has no such sensor.
 */
export function changeSensor(
  text: string,
  farm: string,
  id: string,
  changes: { readonly [K in keyof Sensor]?: Sensor[K] | undefined },
): string {
  const document = read(text);
  const at = requireSensor(document, farm, id);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) document.deleteIn(['sensors', at, key]);
    else if (document.getIn(['sensors', at, key]) !== value)
      document.setIn(['sensors', at, key], document.createNode(value));
  }
  return write(document);
}

/** The registry without the sensor. Throws RegistryInvalid when the farm has none of that id. */
export function removeSensor(text: string, farm: string, id: string): string {
  const document = read(text);
  document.deleteIn(['sensors', requireSensor(document, farm, id)]);
  return write(document);
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
  const at = findUser(document, user.name);
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
  const at = findUser(document, name);
  if (at < 0) throw new RegistryInvalid(`there is no user "${name}"`);
  document.setIn(['users', at, 'password'], password);
  return write(document);
}

/** The registry without the user. Throws RegistryInvalid when there is none of that name. */
export function removeUser(text: string, name: string): string {
  const document = read(text);
  const at = findUser(document, name);
  if (at < 0) throw new RegistryInvalid(`there is no user "${name}"`);
  document.deleteIn(['users', at]);
  return write(document);
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

function requireSensor(document: Document, farm: string, id: string): number {
  const at = findSensor(document, farm, id);
  if (at < 0) throw new RegistryInvalid(`farm "${farm}" has no sensor "${id}"`);
  return at;
}

function findSensor(document: Document, farm: string, id: string): number {
  return find(document, 'sensors', (item) => item.get('id') === id && item.get('farm') === farm);
}

function findUser(document: Document, name: string): number {
  return find(document, 'users', (item) => item.get('name') === name);
}

function find(document: Document, key: string, isIt: (item: YAMLMap) => boolean): number {
  const items = document.get(key);
  if (!isSeq(items)) return -1;
  return items.items.findIndex((item) => isMap(item) && isIt(item));
}
