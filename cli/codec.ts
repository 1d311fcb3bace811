import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { ConfigInvalid, explain, RegistryInvalid } from '../core/errors.ts';
import { LARGEST_CODEC } from '../telemetry/registry/things.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printExactly, printRow } from './output.ts';
import { editRegistry, lookIntoRegistry } from './registry.ts';

/** `loam codec add`: puts the text of a file into the registry, or in the place of the one that is there. */
export async function addCodec(file: string, options: Options): Promise<void> {
  const id = text(options, 'name') ?? basename(file);
  const source = await read(file);
  let isNew = true;
  await editRegistry(settingsOf(options), (current) => {
    isNew = !current.codecs.has(id);
    return [{ kind: 'codec', id, value: { id, text: source } }];
  });
  const next = isNew
    ? `A sensor uses it when its codec is ${id}: loam sensor change ID --codec ${id}`
    : 'It is used from now on.';
  print(`codec ${id} is ${isNew ? 'added' : 'replaced'}. ${next}\n`);
}

/** `loam codec list`: one line a codec: name, characters, and how many sensors name it. */
export async function listCodecs(options: Options): Promise<void> {
  const lines = await lookIntoRegistry(settingsOf(options), ({ codecs, sensors }) => {
    const uses = new Map<string, number>();
    for (const { codec } of sensors) if (codec !== undefined) uses.set(codec, (uses.get(codec) ?? 0) + 1);
    return [...codecs.values()].map((codec) => [codec.id, codec.text.length, uses.get(codec.id) ?? 0]);
  });
  if (lines.length === 0) print('No codec is in the registry: loam codec add --help\n');
  for (const line of lines) printRow(line);
}

/** `loam codec show`: its text. */
export async function showCodec(id: string, options: Options): Promise<void> {
  const codec = await lookIntoRegistry(settingsOf(options), ({ codecs }) => codecs.get(id));
  if (codec === undefined) throw missing(id);
  printExactly(codec.text);
}

/** `loam codec remove`. One that a sensor names stays. */
export async function removeCodec(id: string, options: Options): Promise<void> {
  await editRegistry(settingsOf(options), ({ codecs }) => {
    if (!codecs.has(id)) throw missing(id);
    return [{ kind: 'codec', id, value: null }];
  });
  print(`codec ${id} is removed.\n`);
}

async function read(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > LARGEST_CODEC) throw new Error(`it has more than ${LARGEST_CODEC} bytes`);
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new ConfigInvalid('<file>', `<file>: ${file} cannot be read: ${explain(cause)}`, { cause });
  }
}

function missing(id: string): RegistryInvalid {
  return new RegistryInvalid(`there is no codec ${id}: loam codec list`);
}
