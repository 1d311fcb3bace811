import { z } from 'zod';
import { RegistryInvalid, type RegistryPlace } from '../../core/errors.ts';
import { readYaml, YamlBroken, type YamlFile } from '../../core/yaml.ts';
import { rates } from '../rate.ts';
import { codecName } from '../reading-rules-schema.ts';
import type { Edit, Registry } from './registry.ts';
import { RegistryState } from './state.ts';
import { canonical, idOf, type Kind, LARGEST_CODEC, MOST_THINGS, type NamedThing, THING_SCHEMAS } from './things.ts';

const list = <S extends z.ZodType>(schema: S, kind: Kind) => z.array(schema).max(MOST_THINGS[kind]).default([]);

/** A codec in a text: as its own text, or as the name of a file beside the registry that has it. */
const codecInText = z
  .strictObject({ id: codecName, text: z.string().max(LARGEST_CODEC).optional(), file: codecName.optional() })
  .refine(({ text, file }) => (text === undefined) !== (file === undefined), 'it has either text or file');

/** A registry as plain lists. */
const registryFile = z.strictObject({
  farms: list(THING_SCHEMAS.farm, 'farm'),
  fields: list(THING_SCHEMAS.field, 'field'),
  sensors: list(THING_SCHEMAS.sensor, 'sensor'),
  rates: rates.optional(),
  metrics: list(THING_SCHEMAS.metric, 'metric'),
  users: list(THING_SCHEMAS.user, 'user'),
  sources: list(THING_SCHEMAS.source, 'source'),
  mappings: list(THING_SCHEMAS.mapping, 'mapping'),
  codecs: z.array(codecInText).max(MOST_THINGS.codec).default([]),
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
  mapping: 'mappings',
} as const satisfies Partial<Record<Kind, keyof z.infer<typeof registryFile>>>;
const LISTED = ['farm', 'field', 'sensor', 'metric', 'user', 'source', 'mapping'] as const;

/** The things of a registry's text, each once. They are not checked against each other. */
export interface RegistryText {
  readonly things: readonly NamedThing[];
  /** The line of a place in a thing, from 1; undefined for a thing that is not in the text. */
  lineOf(place: RegistryPlace): number | undefined;
}

/** A file that a registry's text names: what is in it, or why that cannot be read. */
export type NamedFile = { readonly text: string } | { readonly why: string };

/**
 * Reads the things in the text of a registry's YAML file. `files` are those that `codecFilesIn` gives, by name. Throws
 * RegistryInvalid, with the line where it is known, for broken YAML, unknown keys, wrong values, things that are there
 * twice, and files that cannot be read.
 */
export function readThings(text: string, files: ReadonlyMap<string, NamedFile> = new Map()): RegistryText {
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
  for (const [i, { id, text: own = '', file }] of parsed.data.codecs.entries()) {
    const found = file === undefined ? { text: own } : (files.get(file) ?? NO_FILE);
    if ('why' in found) throw wrongIn(yaml, ['codecs', i, 'file'], `${file}: ${found.why}`);
    add('codec', id, { id, text: found.text }, ['codecs', i]);
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

const NO_FILE: NamedFile = { why: 'a text by itself has no files beside it' };
const named = z.object({ file: codecName });
const naming = z.object({ codecs: z.array(z.unknown()).max(MOST_THINGS.codec) });

/** The files that codecs in a registry's text name, relative to its folder. A text that cannot be read names none. */
export function codecFilesIn(text: string): string[] {
  // To read a large registry takes seconds, and most have no codecs.
  if (!/codecs["']?[ \t]*:/.test(text)) return [];
  let value: unknown;
  try {
    ({ value } = readYaml(text));
  } catch {
    return [];
  }
  const codecs: readonly unknown[] = naming.safeParse(value).data?.codecs ?? [];
  return codecs.flatMap((codec) => named.safeParse(codec).data?.file ?? []);
}

/** What must be edited so that exactly `things` are there. */
export function differences(state: Pick<Registry, 'get' | 'things'>, things: readonly NamedThing[]): Edit[] {
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
