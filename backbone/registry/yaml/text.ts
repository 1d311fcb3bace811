import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { explain, RegistryInvalid } from '../../../core/errors.ts';
import { codeOf } from '../../../core/system-error.ts';
import { type NamedFile, readThings } from '../../../telemetry/registry/file.ts';
import type { Kind, NamedThing } from '../../../telemetry/registry/things.ts';
import { NamedFiles } from './named-files.ts';

/** A registry of a quarter of a million sensors is half as long; PostgreSQL has room for more. A text takes up to 300 times its bytes in memory. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * The kinds of thing that programs write rather than people. They are kept in a file of their own beside the registry's,
 * so that the file that people edit stays theirs.
 */
export const AUTO_KINDS: readonly Kind[] = [];

/** The texts of both files, as they are on disk, and of those that they name. */
export interface RegistryTexts {
  /** The file that people edit. */
  readonly hand: string;
  /** The file that programs write; undefined while there is none. */
  readonly auto: string | undefined;
  /** The files that `hand` names, by name. */
  readonly files: ReadonlyMap<string, NamedFile>;
}

/** The things in both texts. */
export interface ReadTexts {
  readonly things: readonly NamedThing[];
  /** Those in the file that programs write, by kind and id. */
  readonly inAuto: ReadonlySet<string>;
  /** The same error, with the file and the line of the thing that it names. */
  located(error: unknown): unknown;
}

/** Where what programs write is kept: `registry.auto.yaml` beside `registry.yaml`. */
export function autoPath(path: string): string {
  return besides(path, 'auto');
}

/** Where the files that the registry names would be kept, were they one: there is only a copy of that (`lastGoodPath`). */
export function codecsPath(path: string): string {
  return besides(path, 'codecs');
}

function besides(path: string, what: string): string {
  const ending = ['.yaml', '.yml'].find((one) => path.endsWith(one)) ?? '';
  return `${path.slice(0, path.length - ending.length)}.${what}${ending}`;
}

/**
 * Both files as text, and those that they name. Rejects with RegistryInvalid when one of the two cannot be read. `named`
 * saves reading again what has not changed.
 */
export async function readTexts(path: string, named = new NamedFiles()): Promise<RegistryTexts> {
  const [hand, auto] = await Promise.all([textOf(path), textOf(autoPath(path))]);
  if (hand === undefined) throw new RegistryInvalid('is not there');
  return { hand, auto, files: await named.of(path, hand) };
}

export function sameTexts(a: RegistryTexts | undefined, b: RegistryTexts): boolean {
  return a?.hand === b.hand && a.auto === b.auto && sameFiles(a.files, b.files);
}

/**
 * Throws RegistryInvalid. A text without any farm or user was emptied by mistake, or is still to be written: it would
 * lock everybody out.
 */
export function parseTexts(path: string, texts: RegistryTexts, autoKinds: readonly Kind[]): ReadTexts {
  const read = thingsIn(path, texts, autoKinds);
  const byHand = read.things.filter(({ kind, id }) => !read.inAuto.has(`${kind} ${id}`));
  if (byHand.some(({ kind }) => kind === 'farm' || kind === 'user')) return read;
  throw new RegistryInvalid('is empty: it has neither a farm nor a user');
}

/** As `parseTexts`, also of texts that are a part of a registry. */
export function thingsIn(path: string, { hand, auto, files }: RegistryTexts, autoKinds: readonly Kind[]): ReadTexts {
  const ofHand = readThings(hand, files);
  if (auto === undefined) {
    return { things: ofHand.things, inAuto: new Set(), located: (error) => located(error, undefined, ofHand) };
  }
  const file = autoPath(path);
  const ofAuto = readAuto(file, auto);
  const known = new Set(ofHand.things.map(({ kind, id }) => `${kind} ${id}`));
  for (const { kind, id } of ofAuto.things) {
    const isTwice = known.has(`${kind} ${id}`);
    if (autoKinds.includes(kind) && !isTwice) continue;
    const why = isTwice
      ? 'it is there twice: also in the file that people edit'
      : `a ${kind} belongs in the file that people edit`;
    const place = { kind, id, path: [] };
    throw new RegistryInvalid(`${kind} ${id}: ${why}`, { file, line: ofAuto.lineOf(place), place });
  }
  return {
    things: [...ofHand.things, ...ofAuto.things],
    inAuto: new Set(ofAuto.things.map(({ kind, id }) => `${kind} ${id}`)),
    located: (error) => {
      const first = located(error, undefined, ofHand);
      return first instanceof RegistryInvalid && first.line === undefined ? located(error, file, ofAuto) : first;
    },
  };
}

/** One line that names the file, the line in it and what is wrong. */
export function describeRegistryError(path: string, error: unknown): string {
  if (!(error instanceof RegistryInvalid)) return `${path}: ${explain(error)}`;
  return `${error.file ?? path}${error.line === undefined ? '' : `:${error.line}`}: ${explain(error)}`;
}

function sameFiles(a: RegistryTexts['files'], b: RegistryTexts['files']): boolean {
  return a.size === b.size && [...a].every(([name, file]) => isDeepStrictEqual(file, b.get(name)));
}

function located(error: unknown, file: string | undefined, text: ReturnType<typeof readThings>): unknown {
  if (!(error instanceof RegistryInvalid) || !error.place) return error;
  const line = text.lineOf(error.place);
  return line === undefined ? error : new RegistryInvalid(error.message, { file, line, place: error.place });
}

function readAuto(file: string, text: string): ReturnType<typeof readThings> {
  try {
    return readThings(text);
  } catch (error) {
    if (!(error instanceof RegistryInvalid)) throw error;
    throw new RegistryInvalid(error.message, { cause: error.cause, file, line: error.line });
  }
}

/** Stands in a text for bytes that were no UTF-8. */
const REPLACED = '\uFFFD';

function lineAt(text: string, position: number): number {
  return text.slice(0, Math.max(position, 0)).split('\n').length;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new RegistryInvalid('is not a file', { file: path });
    if (found.size > MOST_BYTES) {
      throw new RegistryInvalid(`has ${found.size} bytes, and a registry has at most ${MOST_BYTES}`, { file: path });
    }
    const bytes = await readFile(path);
    const text = bytes.toString('utf8');
    // What is no UTF-8 would be replaced, and be lost at the next edit.
    if (!isUtf8(bytes))
      throw new RegistryInvalid('is not UTF-8', { file: path, line: lineAt(text, text.indexOf(REPLACED)) });
    return text;
  } catch (cause) {
    if (cause instanceof RegistryInvalid) throw cause;
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw new RegistryInvalid('cannot be read', { cause, file: path });
  }
}
