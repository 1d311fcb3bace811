import { z } from 'zod';
import { RegistryInvalid, type RegistryPlace } from '../../core/errors.ts';
import { readYaml, YamlBroken, type YamlFile } from '../../core/yaml.ts';
import { rates } from '../rate.ts';
import type { Edit } from './registry.ts';
import { type NamedThing, RegistryState } from './state.ts';
import { canonical, idOf, type Kind, MOST_THINGS, THING_SCHEMAS } from './things.ts';

const list = <S extends z.ZodType>(schema: S, kind: Kind) => z.array(schema).max(MOST_THINGS[kind]).default([]);

/** A registry as plain lists. */
const registryFile = z.strictObject({
  farms: list(THING_SCHEMAS.farm, 'farm'),
  fields: list(THING_SCHEMAS.field, 'field'),
  sensors: list(THING_SCHEMAS.sensor, 'sensor'),
  rates: rates.optional(),
  metrics: list(THING_SCHEMAS.metric, 'metric'),
  users: list(THING_SCHEMAS.user, 'user'),
  sources: list(THING_SCHEMAS.source, 'source'),
  codecs: list(THING_SCHEMAS.codec, 'codec'),
});

/** The list in a file that has the things of a kind; the settings are no list. */
export const LISTS = {
  farm: 'farms',
  field: 'fields',
  sensor: 'sensors',
  metric: 'metrics',
  user: 'users',
  source: 'sources',
  codec: 'codecs',
} as const satisfies Partial<Record<Kind, keyof z.infer<typeof registryFile>>>;
const LISTED = ['farm', 'field', 'sensor', 'metric', 'user', 'source', 'codec'] as const;

/** The things of a registry's text, each once. They are not checked against each other. */
export interface RegistryText {
  readonly things: readonly NamedThing[];
  /** The line of a place in a thing, from 1; undefined for a thing that is not in the text. */
  lineOf(place: RegistryPlace): number | undefined;
}

/**
 * Reads the things in the text of a registry's YAML file. Throws RegistryInvalid, with the line where it is known, for
 * broken YAML, unknown keys, wrong values and things that are there twice.
 */
export function readThings(text: string): RegistryText {
  const yaml = readRegistryYaml(text);
  const parsed = registryFile.safeParse(yaml.value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    throw wrongIn(yaml, [...(issue?.path ?? []), ...unknown], issue?.message ?? 'not a registry');
  }
  const places = new Map<string, readonly PropertyKey[]>();
  const things: NamedThing[] = [];
  const add = (kind: Kind, id: string, thing: NamedThing['thing'], at: readonly PropertyKey[]) => {
    if (places.has(`${kind} ${id}`)) throw wrongIn(yaml, at, twice(kind, id));
    places.set(`${kind} ${id}`, at);
    things.push({ kind, id, thing });
  };
  for (const kind of LISTED) {
    for (const [i, thing] of parsed.data[LISTS[kind]].entries()) add(kind, idOf(kind, thing), thing, [LISTS[kind], i]);
  }
  if (parsed.data.rates) add('setting', 'rates', { id: 'rates', ...parsed.data.rates }, ['rates']);
  return {
    things,
    lineOf: ({ kind, id, path }) => {
      const at = places.get(`${kind} ${id}`);
      return at && yaml.lineOf([...at, ...path]);
    },
  };
}

/** What must be edited so that exactly `things` are there. */
export function differences(state: RegistryState, things: readonly NamedThing[]): Edit[] {
  const edits: Edit[] = [];
  const wanted = new Set<string>();
  for (const { kind, id, thing } of things) {
    wanted.add(`${kind} ${id}`);
    const before = state.get(kind, id);
    if (before === undefined || canonical(kind, before) !== canonical(kind, thing)) {
      edits.push({ kind, id, value: thing });
    }
  }
  for (const { kind, id } of state.things()) {
    if (!wanted.has(`${kind} ${id}`)) edits.push({ kind, id, value: null });
  }
  return edits;
}

/** Reads a registry from the text of its YAML file. Throws RegistryInvalid, with the line where it is known. */
export function parseRegistry(text: string): RegistryState {
  const read = readThings(text);
  try {
    return RegistryState.of(read.things.map(({ kind, id, thing }) => ({ kind, id, value: thing })));
  } catch (error) {
    if (!(error instanceof RegistryInvalid) || !error.place) throw error;
    throw new RegistryInvalid(error.message, { cause: error, place: error.place, line: read.lineOf(error.place) });
  }
}

function twice(kind: Kind, id: string): string {
  const [farm, inFarm] = id.split('/');
  return inFarm === undefined ? `${kind} "${id}" is there twice` : `farm "${farm}" has a ${kind} "${inFarm}" twice`;
}

function wrongIn(yaml: YamlFile, path: readonly PropertyKey[], message: string): RegistryInvalid {
  return new RegistryInvalid(`${path.map(String).join('.') || 'registry'}: ${message}`, { line: yaml.lineOf(path) });
}

function readRegistryYaml(text: string): YamlFile {
  try {
    return readYaml(text);
  } catch (error) {
    if (error instanceof YamlBroken) throw new RegistryInvalid(error.message, { cause: error, line: error.line });
    throw error;
  }
}
