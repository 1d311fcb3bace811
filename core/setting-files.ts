import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { ConfigInvalid, explain } from './errors.ts';

/** Behind the name of a variable: its value is the path of a file that has the setting's value. */
const SUFFIX = '_FILE';
/** Longest value in a file, in bytes. */
const LONGEST_BYTES = 16_384;

type Variables = Readonly<Record<string, string | undefined>>;

/** A value of the environment, and the variable that gave it. */
export interface FromEnvironment {
  readonly text: string;
  readonly variable: string;
  /** Whether it was read from a file, as secrets are: then it is never shown. */
  readonly isFile: boolean;
}

/** The name by which a setting is also given: as a file. */
export function fileVariable(variable: string): string {
  return `${variable}${SUFFIX}`;
}

/**
 * The value of a variable: its own, or what is in the file that its other name names, without the last line end.
 * Undefined when neither is set; an empty variable counts as absent. Throws ConfigInvalid when both are set, or when the
 * file cannot be read or does not have one line of text.
 */
export function fromEnvironment(variable: string, env: Variables): FromEnvironment | undefined {
  const text = env[variable] || undefined;
  const file = fileVariable(variable);
  const path = env[file] || undefined;
  if (path === undefined) return text === undefined ? undefined : { text, variable, isFile: false };
  if (text !== undefined)
    throw new ConfigInvalid(file, `${file}: is set, and ${variable} too: only one of them may be`);
  return { text: readValue(file, path), variable: file, isFile: true };
}

function readValue(variable: string, path: string): string {
  let bytes: Buffer;
  try {
    bytes = readAtMost(path, LONGEST_BYTES + 1);
  } catch (cause) {
    throw new ConfigInvalid(variable, `${variable}: cannot read ${path}: ${explain(cause)}`, { cause });
  }
  const refuse = (why: string) => new ConfigInvalid(variable, `${variable}: ${path} ${why}`);
  if (bytes.length > LONGEST_BYTES) throw refuse(`has more than ${LONGEST_BYTES} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw refuse('is not text in UTF-8');
  }
  if (text === '') throw refuse('is empty');
  // So is a certificate, whose setting takes the path itself.
  if (/[\r\n\0]/.test(text)) throw refuse('has more than one line: it has to have the value, and nothing else');
  return text;
}

/** Rejects what is no file: a pipe may never end. */
function readAtMost(path: string, most: number): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) throw new Error('it is no file');
    const bytes = Buffer.alloc(most);
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read)
      read = readSync(file, bytes, length, most - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
