import { type EditConflict, RegistryConflict } from '../../core/errors.ts';
import { refuseMappings } from './mapping-checks.ts';
import { referencesOf } from './references.ts';
import type { Change, ChangeOf, Edit, Registry } from './registry.ts';
import {
  canonical,
  type Kind,
  MOST_CODEC_TEXT,
  MOST_THINGS,
  type RegistryCodec,
  readThing,
  type Sensor,
  versionOf,
  wrongThing,
} from './things.ts';

/** The things that an edit is checked against. */
export interface KnownThings
  extends Pick<Registry, 'get' | 'codecs' | 'mappings' | 'sensorsWithId' | 'sensorsBySecret' | 'sensorsByToken'> {
  countOf(kind: Kind): number;
  /** How many things name the thing of this kind and id. */
  usesOf(kind: Kind, id: string): number;
  /** Names some thing that names this one, for a person. */
  userOf(kind: Kind, id: string, but: ReadonlySet<string>): string | undefined;
}

/**
 * What edits change: things that stay as they are are left out. Throws RegistryConflict when a thing is not what its
 * editor saw, and RegistryInvalid for a value that is no such thing, for a thing that is edited twice, and for the
 * removal of one that is not there.
 */
export function changesOf(known: KnownThings, edits: readonly Edit[]): Change[] {
  refuseConflicts(known, edits);
  const edited = new Set<string>();
  const changes: Change[] = [];
  for (const edit of edits) {
    const { kind, id } = edit;
    if (edited.has(keyOf(edit))) throw wrongThing(kind, id, [], 'it is there twice');
    edited.add(keyOf(edit));
    const change = changeOf(known, edit);
    if (!change.before && !change.after) throw wrongThing(kind, id, [], 'is not there');
    if (!isSame(change)) changes.push(change);
  }
  return changes;
}

/**
 * Throws RegistryInvalid when the registry would be none with these changes: because something names a thing that is
 * not there, two sensors have the same secret, token or right to a common name, or there is too much of a kind. Takes
 * time that grows with the changes, not with the registry (of codecs, with how many there are).
 */
export function verify(known: KnownThings, changes: readonly Change[]): void {
  const next = new Map(changes.map((change) => [keyOf(change), change]));
  refuseDangling(known, changes, next);
  refuseRemovedInUse(known, changes, next);
  for (const key of ['secret', 'token'] as const) refuseShared(known, changes, next, key);
  refuseSharedNames(known, changes, next);
  refuseTooMany(known, changes);
  refuseTooMuchCodec(known, changes);
  refuseMappings(known, changes);
}

type NextThings = ReadonlyMap<string, Change>;

function keyOf({ kind, id }: { readonly kind: Kind; readonly id: string }): string {
  return `${kind} ${id}`;
}

function refuseConflicts(known: KnownThings, edits: readonly Edit[]): void {
  const conflicts: EditConflict[] = [];
  for (const { kind, id, seen } of edits) {
    if (seen === undefined) continue;
    const thing = known.get(kind, id);
    const now = thing === undefined ? null : versionOf(kind, id, thing);
    if (now !== seen) conflicts.push({ kind, id, seen, now });
  }
  if (conflicts.length > 0) throw new RegistryConflict(conflicts);
}

function changeOf(known: KnownThings, { kind, id, value }: Edit): Change {
  switch (kind) {
    case 'farm':
      return changeIn(known, kind, id, value);
    case 'field':
      return changeIn(known, kind, id, value);
    case 'sensor':
      return changeIn(known, kind, id, value);
    case 'metric':
      return changeIn(known, kind, id, value);
    case 'user':
      return changeIn(known, kind, id, value);
    case 'source':
      return changeIn(known, kind, id, value);
    case 'setting':
      return changeIn(known, kind, id, value);
    case 'codec':
      return changeIn(known, kind, id, value);
    case 'mapping':
      return changeIn(known, kind, id, value);
  }
}

function changeIn<K extends Kind>(known: KnownThings, kind: K, id: string, value: unknown): ChangeOf<K> {
  const after = value === null ? undefined : readThing(kind, id, value);
  return { kind, id, before: known.get(kind, id), after };
}

function isSame({ kind, before, after }: Change): boolean {
  return before !== undefined && after !== undefined && canonical(kind, before) === canonical(kind, after);
}

function refuseDangling(known: KnownThings, changes: readonly Change[], next: NextThings): void {
  for (const { kind, id, after } of changes) {
    for (const to of referencesOf(kind, after)) {
      if (to.missing === undefined) continue;
      const change = next.get(keyOf(to));
      const isThere = change ? change.after !== undefined : known.get(to.kind, to.id) !== undefined;
      if (!isThere) throw wrongThing(kind, id, to.path, to.missing);
    }
  }
}

function refuseRemovedInUse(known: KnownThings, changes: readonly Change[], next: NextThings): void {
  const removed = changes.filter(({ after }) => after === undefined);
  if (removed.length === 0) return;
  const fewer = new Map<string, number>();
  /** Things that are changed and name it afterwards. */
  const naming = new Map<string, string>();
  for (const change of changes) {
    for (const to of referencesOf(change.kind, change.before)) fewer.set(keyOf(to), (fewer.get(keyOf(to)) ?? 0) + 1);
    for (const to of referencesOf(change.kind, change.after)) naming.set(keyOf(to), keyOf(change));
  }
  for (const change of removed) {
    const { kind, id } = change;
    const isNamedByOthers = known.usesOf(kind, id) > (fewer.get(keyOf(change)) ?? 0);
    const who = isNamedByOthers ? known.userOf(kind, id, new Set(next.keys())) : naming.get(keyOf(change));
    if (isNamedByOthers || who !== undefined) throw wrongThing(kind, id, [], `${who ?? 'something'} still names it`);
  }
}

function refuseShared(known: KnownThings, changes: readonly Change[], next: NextThings, key: 'secret' | 'token'): void {
  const owners = key === 'secret' ? known.sensorsBySecret : known.sensorsByToken;
  const given = new Set<string>();
  for (const { id, after } of sensorsOf(changes)) {
    const hash = after?.[key];
    if (hash === undefined) continue;
    const owner = owners.get(hash);
    const isOthers = owner !== undefined && !next.has(sensorKey(owner));
    if (given.has(hash) || isOthers) throw wrongThing('sensor', id, [key], `another sensor has the same ${key}`);
    given.add(hash);
  }
}

function refuseSharedNames(known: KnownThings, changes: readonly Change[], next: NextThings): void {
  const given = new Set<string>();
  for (const { id, after } of sensorsOf(changes)) {
    if (after?.cn === undefined) continue;
    const others = known.sensorsWithId(after.id).some((one) => one.cn !== undefined && !next.has(sensorKey(one)));
    if (others || given.has(after.id)) {
      throw wrongThing('sensor', id, ['cn'], `another sensor "${after.id}" says so already`);
    }
    given.add(after.id);
  }
}

function refuseTooMany(known: KnownThings, changes: readonly Change[]): void {
  const counts = new Map<Kind, number>();
  for (const { kind, before, after } of changes) {
    counts.set(kind, (counts.get(kind) ?? known.countOf(kind)) + (after ? 1 : 0) - (before ? 1 : 0));
  }
  for (const { kind, id, before } of changes) {
    if (before || (counts.get(kind) ?? 0) <= MOST_THINGS[kind]) continue;
    throw wrongThing(kind, id, [], `the registry takes at most ${MOST_THINGS[kind]} things of this kind`);
  }
}

function refuseTooMuchCodec({ codecs }: KnownThings, changes: readonly Change[]): void {
  const ofCodecs = changes.flatMap((change) => (change.kind === 'codec' ? [change] : []));
  const [last] = ofCodecs.filter(({ before, after }) => lengthOf(after) > lengthOf(before)).slice(-1);
  if (last === undefined) return;
  const kept = [...codecs.values()].reduce((sum, codec) => sum + lengthOf(codec), 0);
  const all = ofCodecs.reduce((sum, { before, after }) => sum + lengthOf(after) - lengthOf(before), kept);
  if (all <= MOST_CODEC_TEXT) return;
  throw wrongThing('codec', last.id, ['text'], `all codecs together may have ${MOST_CODEC_TEXT} characters`);
}

function lengthOf(codec: RegistryCodec | undefined): number {
  return codec?.text.length ?? 0;
}

function sensorsOf(changes: readonly Change[]): ChangeOf<'sensor'>[] {
  return changes.flatMap((change) => (change.kind === 'sensor' ? [change] : []));
}

function sensorKey({ farm, id }: Sensor): string {
  return `sensor ${farm}/${id}`;
}
