import { ConfigInvalid, RegistryInvalid } from '../core/errors.ts';
import type { Registry } from '../telemetry/registry/registry.ts';
import { inline, shortForm } from '../telemetry/registry/text.ts';
import type { Thing, Things } from '../telemetry/registry/things.ts';
import { type Options, onlyFarm, settingsOf, text } from './options.ts';
import { print, printRow } from './output.ts';
import { editRegistry, lookIntoRegistry } from './registry.ts';
import { type CommandKind, isOfFarm, type KindOfFarm, keysOf, optionOf, valuesIn } from './thing-keys.ts';

/** What `loam farm list` and its likes show of a thing, tab by tab. */
const COLUMNS: { readonly [K in 'farm' | 'field' | 'metric' | 'mapping']: (thing: Things[K]) => string[] } = {
  farm: ({ id, name, timezone }) => [id, name, timezone],
  field: ({ id, farm, name, crop = '' }) => [id, farm, name, crop],
  metric: ({ id, label, unit }) => [id, label, unit],
  mapping: ({ id, farm, kind = '', topic = '', from = '' }) => [id, farm, kind, topic, from],
};
export type ListedKind = keyof typeof COLUMNS;
/** What is to be known of a removal. */
const AFTERWARDS: { readonly [K in CommandKind]?: string } = {
  farm: ' Its readings stay.',
  sensor: ' It can no longer connect. Its readings stay.',
};
/** What is kept as a hash. */
const HASHED = ['secret', 'token', 'password'];

/** `loam KIND add`. Rejects with ConfigInvalid when it is there already. */
export async function addThing(kind: ListedKind, id: string, options: Options): Promise<void> {
  const values = valuesIn(kind, options);
  const farm = text(options, 'farm');
  const whole = farm === undefined ? id : `${farm}/${id}`;
  await editRegistry(settingsOf(options), (current) => {
    if (current.get(kind, whole)) throw new RegistryInvalid(`${kind} ${whole} is there already: loam ${kind} change`);
    return [{ kind, id: whole, value: { id, farm, ...values } }];
  });
  print(`${kind} ${whole} is added.\n`);
}

/** `loam KIND change`: sets what the options name, and leaves the rest. `more` are values beside those of the options. */
export async function changeThing(
  kind: CommandKind,
  id: string,
  options: Options,
  more: (current: Registry, whole: string) => Readonly<Record<string, unknown>> = () => ({}),
): Promise<void> {
  const values = valuesIn(kind, options);
  let named = id;
  await editRegistry(settingsOf(options), (current) => {
    const [whole, thing] = found(current, kind, id, options);
    named = whole;
    const changed = { ...values, ...more(current, whole) };
    if (Object.keys(changed).length === 0) throw nothingGiven(kind);
    return [{ kind, id: whole, value: { ...thing, ...changed } }];
  });
  print(`${kind} ${named} is changed.\n`);
}

/** `loam KIND remove`. What others still name stays, and the error says who does. */
export async function removeThing(kind: CommandKind, id: string, options: Options): Promise<void> {
  let named = id;
  await editRegistry(settingsOf(options), (current) => {
    [named] = found(current, kind, id, options);
    return [{ kind, id: named, value: null }];
  });
  print(`${kind} ${named} is removed.${AFTERWARDS[kind] ?? ''}\n`);
}

/**
 * `loam KIND show`: a line a key. Of what is kept as a hash it is told only that it is there. Resolves with the whole id
 * of the thing.
 */
export async function showThing(kind: CommandKind, id: string, options: Options): Promise<string> {
  const [whole, thing] = await lookIntoRegistry(settingsOf(options), (current) => found(current, kind, id, options));
  for (const [key, value] of Object.entries(shortForm(kind, thing))) {
    print(`${key}: ${HASHED.includes(key) ? '(kept as a hash)' : inline(value)}\n`);
  }
  return whole;
}

/** `loam KIND list`: a line a thing. */
export async function listThings(kind: ListedKind, options: Options): Promise<void> {
  const lines = await lookIntoRegistry(settingsOf(options), (current) => linesOf(current, kind));
  if (lines.length === 0) print(`No ${kind} is in the registry: loam ${kind} add --help\n`);
  for (const line of lines) printRow(line);
}

function linesOf({ farms, fields, metrics, mappings }: Registry, kind: ListedKind): string[][] {
  switch (kind) {
    case 'farm':
      return [...farms.values()].map(COLUMNS.farm);
    case 'field':
      return [...fields.values()].flatMap((ofFarm) => [...ofFarm.values()].map(COLUMNS.field));
    case 'metric':
      return [...metrics.values()].map(COLUMNS.metric);
    case 'mapping':
      return mappings.all().map(COLUMNS.mapping);
  }
}

/** The thing that a command names, and its whole id. Throws RegistryInvalid when it is not there. */
function found(current: Registry, kind: CommandKind, id: string, options: Options): [whole: string, thing: Thing] {
  const whole = isOfFarm(kind) ? `${farmOf(current, kind, id, options)}/${id}` : id;
  const thing = current.get(kind, whole);
  if (thing === undefined) throw new RegistryInvalid(`there is no ${kind} ${whole}: loam ${kind} list`);
  return [whole, thing];
}

/** The farm that --farm names, or else the only one that has this id. */
function farmOf(current: Registry, kind: KindOfFarm, id: string, options: Options): string {
  const given = text(options, 'farm');
  if (given !== undefined) return given;
  const having = [...current.farms.keys()].filter((farm) => current.get(kind, `${farm}/${id}`) !== undefined);
  return onlyFarm(id, having, kind);
}

function nothingGiven(kind: CommandKind): ConfigInvalid {
  const options = keysOf(kind).map(([key]) => optionOf(key));
  return new ConfigInvalid('<id>', `nothing to change: give ${options.join(', ')}`);
}
