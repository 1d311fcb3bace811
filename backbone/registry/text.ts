import { readFile, stat } from 'node:fs/promises';
import { explain, RegistryInvalid } from '../../core/errors.ts';
import { parseRegistry, type Registry } from '../../telemetry/registry.ts';

/** A registry of a million sensors is half as long. What is longer is something else, and would fill memory. */
const MOST_BYTES = 256 * 2 ** 20;

/** The registry's file as text. Rejects with RegistryInvalid when it cannot be read, is no file, or is too long for one. */
export async function readRegistryText(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new RegistryInvalid('is not a file');
    if (found.size > MOST_BYTES) {
      throw new RegistryInvalid(`has ${found.size} bytes, and a registry has at most ${MOST_BYTES}`);
    }
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof RegistryInvalid) throw cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') throw new RegistryInvalid('is not there');
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

/** Throws RegistryInvalid. A text without any farm or user was emptied by mistake, or is still to be written: it would lock everybody out. */
export function readRegistry(text: string): Registry {
  const registry = parseRegistry(text);
  if (registry.farms.size === 0 && registry.users.size === 0) {
    throw new RegistryInvalid('is empty: it has neither a farm nor a user');
  }
  return registry;
}

/** One line that names the file, the line in it and what is wrong. */
export function describeRegistryError(path: string, error: unknown): string {
  const line = error instanceof RegistryInvalid && error.line !== undefined ? `:${error.line}` : '';
  return `${path}${line}: ${explain(error)}`;
}
