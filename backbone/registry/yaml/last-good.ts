import { readFile, realpath, rm } from 'node:fs/promises';
import { z } from 'zod';
import { replaceFile } from '../../../core/replace-file.ts';
import { autoPath, codecsPath, type RegistryTexts } from './text.ts';

/** Where the last registry that was in force is kept: beside its file, or beside the link to it. */
export function lastGoodPath(path: string): string {
  return `${path}.last-good`;
}

/**
 * Keeps the texts of a registry that is in force, for a start at which the files themselves are broken. A copy is for the
 * same eyes as its file: it gets its owner, group and mode, or, where this process may not give it away, is its own
 * alone. A copy that is as it is to be is not written again. Rejects with the error of the file system.
 */
export async function keepLastGood(path: string, { hand, auto, files }: RegistryTexts): Promise<void> {
  const texts = [...files].flatMap(([name, file]) => ('text' in file ? [[name, file.text] as const] : []));
  // The files first: what names them must never be kept without them.
  if (texts.length > 0) await keep(codecsPath(path), JSON.stringify(Object.fromEntries(texts)), path);
  await keep(path, hand);
  if (texts.length === 0) await rm(lastGoodPath(codecsPath(path)), { force: true });
  if (auto === undefined) await rm(lastGoodPath(autoPath(path)), { force: true });
  else await keep(autoPath(path), auto);
}

/** The texts that are kept, whatever they are; undefined when there are none that can be read. */
export async function readLastGood(path: string): Promise<RegistryTexts | undefined> {
  const [hand, auto, codecs] = await Promise.all([path, autoPath(path), codecsPath(path)].map(copyOf));
  return hand === undefined ? undefined : { hand, auto, files: codecs === undefined ? new Map() : filesIn(codecs) };
}

const keptFiles = z.record(z.string(), z.string());

function filesIn(text: string): RegistryTexts['files'] {
  let kept: unknown;
  try {
    kept = JSON.parse(text);
  } catch {
    // It is a registry without its codecs, and refused as such.
  }
  const files = Object.entries(keptFiles.safeParse(kept).data ?? {});
  return new Map(files.map(([name, file]) => [name, { text: file }]));
}

async function keep(path: string, text: string, like = path): Promise<void> {
  if ((await copyOf(path)) === text) return;
  const copy = lastGoodPath(path);
  try {
    await replaceFile(copy, text, await realpath(like));
  } catch {
    await replaceFile(copy, text);
  }
}

async function copyOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(lastGoodPath(path), 'utf8');
  } catch {
    return undefined;
  }
}
