import { readFile, stat } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { ConfigInvalid, explain, RegistryInvalid } from '../core/errors.ts';
import type { SecretKeys } from '../core/secret-key.ts';
import { hashSecret, newSecret } from '../core/secrets.ts';
import { isStrongToken, keptToken, TOKEN_REFUSED } from '../telemetry/brought-token.ts';
import type { Edit, Registry } from '../telemetry/registry/registry.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printError } from './output.ts';
import { editRegistry } from './registry.ts';
import { keysOf as keysOfSecret } from './secrets.ts';
import { keysOf, optionOf, valuesIn } from './thing-keys.ts';

/** What may be in a file of sensors: some thousand lines. */
const MOST_BYTES = 4 * 1024 ** 2;
const MOST_SENSORS = 10_000;

/** One line of the file. */
interface SensorLine {
  readonly line: number;
  readonly id: string;
  readonly token: string | undefined;
  /** Made for it when it brings no token. */
  readonly secret: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/**
 * `loam sensor import`: registers all sensors of a CSV file, or none. Its first line has the names of the columns: `id`,
 * and if wanted `token` (or `secret`), and those of the options of `loam sensor add`. Prints a CSV with the secrets that
 * were made, once. Rejects with ConfigInvalid, which names the line.
 */
export async function importSensors(path: string, options: Options): Promise<void> {
  const farm = text(options, 'farm') ?? '';
  const lines = linesIn(path, await contentOf(path));
  const keys = lines.some(({ token }) => token !== undefined) ? await keysOfSecret(options) : undefined;
  await editRegistry(settingsOf(options), (current) => lines.map((line) => added(line, farm, current, keys)));
  const made = lines.filter(({ token }) => token === undefined);
  printError(
    `${lines.length} sensors are registered; ${lines.length - made.length} sign in with the token that they came with.\n`,
  );
  if (made.length === 0) return;
  printError('The secrets of the others are shown this once.\n');
  print(['id,secret', ...made.map(({ id, secret }) => `${id},${secret}`)].map((line) => `${line}\n`).join(''));
}

async function contentOf(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MOST_BYTES) throw new Error(`it has ${size} bytes, allowed: ${MOST_BYTES}`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ConfigInvalid('<file>', `<file>: ${path}: ${explain(cause)}`, { cause });
  }
}

function linesIn(path: string, content: string): SensorLine[] {
  const [names = [], ...rows] = rowsOf(path, content);
  const columns = names.map((name) => name.trim().toLowerCase());
  const known = columnNames();
  const strange = columns.find((name) => !known.has(name));
  if (strange !== undefined || !columns.includes('id')) {
    const got = strange === undefined ? 'no column id' : `a column ${JSON.stringify(strange)}`;
    throw wrong(path, 1, `${got}, allowed: ${[...known.keys()].join(', ')}`);
  }
  if (new Set(columns.map((name) => known.get(name))).size < columns.length)
    throw wrong(path, 1, 'a column is there twice');
  if (rows.length > MOST_SENSORS) throw wrong(path, MOST_SENSORS + 2, `at most ${MOST_SENSORS} sensors`);
  return rows.map((cells, i) =>
    lineOf(
      path,
      i + 2,
      cells,
      columns.map((name) => known.get(name) ?? ''),
    ),
  );
}

function rowsOf(path: string, content: string): string[][] {
  const delimiter = (content.split('\n', 1)[0] ?? '').includes(';') ? ';' : ',';
  try {
    return parse(content, { bom: true, delimiter, trim: true, skipEmptyLines: true });
  } catch (cause) {
    throw new ConfigInvalid('<file>', `<file>: ${path}: ${explain(cause)}`, { cause });
  }
}

/** Each name that a column may have, with its key. */
function columnNames(): ReadonlyMap<string, string> {
  const ofKeys = keysOf('sensor').map(([key]) => [optionOf(key).slice('--'.length), key] as const);
  return new Map([['id', 'id'], ['token', 'token'], ['secret', 'token'], ...ofKeys]);
}

function lineOf(path: string, line: number, cells: readonly string[], keys: readonly string[]): SensorLine {
  const given = Object.fromEntries(keys.flatMap((key, i) => (cells[i] ? [[key, cells[i]]] : [])));
  const { id = '', token, ...options } = given;
  if (id === '') throw wrong(path, line, 'no id');
  // The token itself is told nowhere.
  if (token !== undefined && !isStrongToken(token)) throw wrong(path, line, TOKEN_REFUSED);
  try {
    return { line, id, token, secret: newSecret(), values: valuesIn('sensor', options) };
  } catch (cause) {
    throw wrong(path, line, explain(cause), cause);
  }
}

function added(
  { line, id, token, secret, values }: SensorLine,
  farm: string,
  current: Registry,
  keys: SecretKeys | undefined,
): Edit {
  if (current.sensor(farm, id)) throw new RegistryInvalid(`line ${line}: farm "${farm}" has a sensor "${id}" already`);
  const kept = token === undefined || keys === undefined ? undefined : keptToken(current, token, keys, { farm, id });
  if (token !== undefined && kept === undefined) throw new RegistryInvalid(`line ${line}: ${TOKEN_REFUSED}`);
  const way = kept === undefined ? { secret: hashSecret(secret) } : { token: kept };
  return { kind: 'sensor', id: `${farm}/${id}`, value: { id, farm, ...way, ...values } };
}

function wrong(path: string, line: number, why: string, cause?: unknown): ConfigInvalid {
  return new ConfigInvalid('<file>', `<file>: ${path}, line ${line}: ${why}`, { cause });
}
